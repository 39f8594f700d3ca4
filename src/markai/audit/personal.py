"""Which fields of metadata are personal data: named in a report, never repeated in it.

What an audit must tell of content is which system made it (California's B&P 22757.2 asks that much of a provider's
detection tool), and not who: places, serial numbers of devices, names of people, and prompts stay in the file.
"""

import re
from collections.abc import Iterator

from markai.audit.fields import Field, Fields

# Names without their namespaces, in lower case, of any carrier.
NAMES = {
    *("artist", "author", "creator", "by-line", "by-linetitle", "photographer", "cameraownername", "ownername"),
    *("xpauthor", "captionwriter", "authorsposition", "contact", "rights", "copyright", "copyrightnotice", "owner"),
    *("imagecreatorname", "copyrightownername", "licensorname", "personinimage", "usageterms", "tpe1", "iart"),
    *("bodyserialnumber", "lensserialnumber", "serialnumber", "cameraserialnumber", "internalserialnumber"),
    *("gps", "city", "state", "country", "location", "sublocation", "hostcomputer"),
    *("aipromptinformation", "aipromptwritername", "prompt", "negative_prompt", "user_id", "username"),
    *("imageeditor",),
}
PREFIXES = ("gps", "ciadr", "ciemail", "citel", "ciurl", "creatorcontact")
# Fields that hold a prompt where a generator wrote them.
PROMPTED = {"stable-diffusion", "comfyui", "midjourney", "novelai", "invokeai", "fooocus"}
SHORTEST = 4  # characters of a value that is looked for in what a report says: a shorter one is anywhere by chance
EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}")


def is_personal(given: Field) -> bool:
    """Say whether a field is personal by its name.

    >>> is_personal(Field("EXIF", "GPS", "present")), is_personal(Field("XMP", "exif:GPSLatitude", "37,33N"))
    (True, True)
    >>> is_personal(Field("EXIF", "Software", "Darkroom"))
    False
    """
    prefix, _, name = given.name.lower().rpartition(":")
    return prefix != "icc" and (name in NAMES or name.startswith(PREFIXES))  # a colour profile's rights are no person's


def values(found: Fields) -> Iterator[str]:
    """Yield the personal texts of a file that no report may repeat."""
    for each in found.items:
        if is_personal(each) and len(each.value) >= SHORTEST and each.value != "present":
            yield each.value[:500]


def repeats(text: str, forbidden: list[str]) -> bool:
    """Say whether a text repeats one of the personal texts, or has an address of electronic mail in it."""
    return bool(EMAIL.search(text)) or any(each in text for each in forbidden)
