//! English verbs of Bloom's revised taxonomy, and those that no test can measure.

use super::BloomLevel;

/// Base forms a level, in the spelling with -ize and -yze; the other spelling and the inflected forms follow by
/// rule. A verb that verb lists name for several levels stands at the one where course objectives use it most.
pub(super) const VERBS: &[(BloomLevel, &str)] = &[
    (
        BloomLevel::Remember,
        "cite define duplicate enumerate find identify label list locate match memorize name note point quote \
         read recall recite recognize record relate remember repeat reproduce retell retrieve select spell state \
         tabulate tell trace underline view watch",
    ),
    (
        BloomLevel::Understand,
        "associate characterize clarify convert contrast describe differentiate discuss distinguish elaborate \
         exemplify explain express extend extrapolate generalize illustrate indicate infer interpolate interpret \
         narrate observe outline paraphrase rephrase report represent restate review rewrite summarize translate",
    ),
    (
        BloomLevel::Apply,
        "access activate add adjust administer align allocate annotate apply ask assemble assign attach avoid back \
         balance bake book brew browse build calculate call capture carry change chart check clean click clone \
         close collect combine communicate complete compute concatenate conduct configure connect control cook \
         coordinate copy count cut declare delete deliver demonstrate deploy deposit determine dictate display \
         download dramatize draw edit employ enable encrypt enter establish execute export extract fetch fill \
         filter fix fold follow format give graph greet guide handle host implement import improve initialize \
         join document highlight commit \
         insert install instantiate instruct iterate knead launch lead load log maintain make manage manipulate map \
         measure mix modify mount move multiply navigate negotiate obtain open operate order paint parameterize \
         participate perform persuade place play plot populate practice prepare present print process procure \
         promote pronounce prove provide publish query raise rearrange reduce refactor register remove rename \
         render replace replicate resolve respond restore retain return role-play round run save scale schedule \
         search secure send serve set shape share show shuffle simulate sing sketch slice solve sort speak start \
         stop store style submit subscribe subtract switch take teach train transcribe transfer transform tune type \
         update upload use utilize visualize wire wrap",
    ),
    (
        BloomLevel::Analyze,
        "analyze appraise audit break calibrate categorize classify compare correlate correct cross-examine debug \
         decompose deconstruct deduce derive detect diagnose diagram dissect divide estimate examine experiment \
         group inspect investigate isolate model monitor organize predict profile prioritize question research \
         separate sequence structure subdivide survey test troubleshoot uncover",
    ),
    (
        BloomLevel::Evaluate,
        "advise argue assess attribute benchmark choose conclude consider convince counsel criticize critique \
         debate decide defend evaluate grade interview judge justify measure optimize rank rate reassess recommend \
         reconcile reflect reframe refute reject revise score self-assess size substantiate support validate value \
         verify weigh",
    ),
    (
        BloomLevel::Create,
        "adapt animate author automate brainstorm choreograph code collaborate compile compose conceive \
         conceptualize consolidate construct craft create customize design develop devise draft engineer envision \
         expand facilitate film formulate generate hypothesize improvise initiate innovate integrate invent \
         merge organise orchestrate originate personalize photograph pitch plan produce program propose prototype \
         rebuild reconstruct redesign reimagine reorganize script sculpt set-up suggest synthesize tailor write",
    ),
];

/// Verbs that no test can measure (data model 2.3), as base forms.
pub(super) const BANNED_VERBS: &str = "understand know learn appreciate grasp realize comprehend familiarize study internalize believe feel enjoy";

/// The same as phrases, in lower case. Longer ones win over the verb that they begin with.
pub(super) const BANNED_PHRASES: &[&str] = &[
    "be aware of",
    "be familiar with",
    "be acquainted with",
    "be conscious of",
    "be knowledgeable about",
    "become aware of",
    "become familiar with",
    "become acquainted with",
    "become knowledgeable about",
    "get acquainted with",
    "get familiar with",
    "get to know",
    "get an idea of",
    "have a grasp of",
    "have a good understanding of",
    "have a basic understanding of",
    "have an understanding of",
    "have an idea of",
    "have knowledge of",
    "have awareness of",
    "gain awareness of",
    "gain a basic understanding of",
    "gain a better understanding of",
    "gain a deep understanding of",
    "gain a deeper understanding of",
    "gain a solid understanding of",
    "gain an understanding of",
    "gain an appreciation of",
    "gain an appreciation for",
    "gain familiarity with",
    "gain insight into",
    "gain insights into",
    "gain knowledge of",
    "gain knowledge about",
    "gain understanding of",
    "acquire knowledge of",
    "acquire knowledge about",
    "acquire an understanding of",
    "develop a deep understanding of",
    "develop a deeper understanding of",
    "develop a solid understanding of",
    "develop an appreciation for",
    "develop an appreciation of",
    "develop an awareness of",
    "develop an understanding of",
    "build an understanding of",
    "aware of",
    "awareness of",
    "familiar with",
    "familiarity with",
    "knowledge of",
];

/// Verbs with which objectives of every level are commonly begun, as a pattern for small models.
pub(super) const MEASURABLE: &[(&str, BloomLevel)] = &[
    ("Define", BloomLevel::Remember),
    ("Identify", BloomLevel::Remember),
    ("List", BloomLevel::Remember),
    ("Name", BloomLevel::Remember),
    ("Recall", BloomLevel::Remember),
    ("Label", BloomLevel::Remember),
    ("Locate", BloomLevel::Remember),
    ("Select", BloomLevel::Remember),
    ("Describe", BloomLevel::Understand),
    ("Explain", BloomLevel::Understand),
    ("Summarize", BloomLevel::Understand),
    ("Illustrate", BloomLevel::Understand),
    ("Interpret", BloomLevel::Understand),
    ("Outline", BloomLevel::Understand),
    ("Paraphrase", BloomLevel::Understand),
    ("Distinguish", BloomLevel::Understand),
    ("Discuss", BloomLevel::Understand),
    ("Contrast", BloomLevel::Understand),
    ("Apply", BloomLevel::Apply),
    ("Use", BloomLevel::Apply),
    ("Calculate", BloomLevel::Apply),
    ("Demonstrate", BloomLevel::Apply),
    ("Implement", BloomLevel::Apply),
    ("Solve", BloomLevel::Apply),
    ("Configure", BloomLevel::Apply),
    ("Perform", BloomLevel::Apply),
    ("Prepare", BloomLevel::Apply),
    ("Build", BloomLevel::Apply),
    ("Measure", BloomLevel::Apply),
    ("Modify", BloomLevel::Apply),
    ("Analyze", BloomLevel::Analyze),
    ("Compare", BloomLevel::Analyze),
    ("Classify", BloomLevel::Analyze),
    ("Categorize", BloomLevel::Analyze),
    ("Examine", BloomLevel::Analyze),
    ("Investigate", BloomLevel::Analyze),
    ("Diagnose", BloomLevel::Analyze),
    ("Organize", BloomLevel::Analyze),
    ("Test", BloomLevel::Analyze),
    ("Estimate", BloomLevel::Analyze),
    ("Evaluate", BloomLevel::Evaluate),
    ("Assess", BloomLevel::Evaluate),
    ("Choose", BloomLevel::Evaluate),
    ("Critique", BloomLevel::Evaluate),
    ("Justify", BloomLevel::Evaluate),
    ("Recommend", BloomLevel::Evaluate),
    ("Prioritize", BloomLevel::Analyze),
    ("Defend", BloomLevel::Evaluate),
    ("Verify", BloomLevel::Evaluate),
    ("Create", BloomLevel::Create),
    ("Design", BloomLevel::Create),
    ("Develop", BloomLevel::Create),
    ("Compose", BloomLevel::Create),
    ("Construct", BloomLevel::Create),
    ("Formulate", BloomLevel::Create),
    ("Plan", BloomLevel::Create),
    ("Propose", BloomLevel::Create),
    ("Write", BloomLevel::Create),
    ("Produce", BloomLevel::Create),
];

/// Words before the verb that say who, when and that it is possible.
pub(super) const LEAD_WORDS: &[&str] = &[
    "you",
    "we",
    "i",
    "he",
    "she",
    "they",
    "student",
    "students",
    "learner",
    "learners",
    "participant",
    "participants",
    "reader",
    "readers",
    "trainee",
    "trainees",
    "attendee",
    "attendees",
    "pupil",
    "pupils",
    "employee",
    "employees",
    "everyone",
    "will",
    "can",
    "could",
    "should",
    "would",
    "shall",
    "must",
    "may",
    "be",
    "able",
    "capable",
    "of",
    "prepared",
    "ready",
    "equipped",
    "to",
    "and",
    "very",
    "quite",
    "more",
    "also",
    "then",
    "now",
    "ability",
    "skill",
    "skills",
    "better",
    "well",
    "confident",
    "is",
    "are",
    "objective",
    "objectives",
    "goal",
    "goals",
    "outcome",
    "outcomes",
    "aim",
    "aims",
];

/// Words that belong to the lead-in only where another of its words follows: "the student", not "the design".
pub(super) const ARTICLES: &[&str] = &["the", "a", "an", "each", "every", "all", "these", "your"];

/// Openings that look like a verb and are a noun.
pub(super) const NOUN_OPENINGS: &[&str] = &[
    "learning rate",
    "learning rates",
    "learning curve",
    "learning curves",
    "learning management",
    "learning paths",
    "learning theory",
    "learning theories",
    "learning styles",
    "study design",
    "study designs",
];

/// Words that open a phrase of time or condition before the verb.
pub(super) const OPENERS: &[&str] = &[
    "by",
    "at",
    "after",
    "upon",
    "on",
    "in",
    "during",
    "following",
    "given",
    "when",
    "with",
    "without",
    "from",
    "for",
    "having",
    "once",
    "through",
    "within",
    "as",
];

/// Words after which the verb of such an opening stands.
pub(super) const MODALS: &[&str] = &["to", "will", "can", "should", "must", "could", "would", "shall"];

/// Words in -ly that are verbs and never adverbs.
const VERBS_IN_LY: &[&str] = &[
    "apply", "multiply", "supply", "reply", "rely", "comply", "fly", "imply", "ply", "rally",
];

/// Whether the word says how something is done.
pub(super) fn is_adverb(word: &str) -> bool {
    word.ends_with("ly") && word.chars().count() > 4 && !VERBS_IN_LY.contains(&word)
}

/// The base form in both spellings with -s and -ing.
pub(super) fn forms(lemma: &str) -> Vec<String> {
    let mut spellings = vec![lemma.to_owned()];
    for (american, british) in [("ize", "ise"), ("yze", "yse")] {
        if let Some(stem) = lemma.strip_suffix(american) {
            spellings.push(format!("{stem}{british}"));
        }
    }
    spellings
        .iter()
        .flat_map(|base| [base.clone(), third_person(base), participle(base)])
        .collect()
}

fn third_person(base: &str) -> String {
    if let Some(stem) = base.strip_suffix('y').filter(|stem| ends_in_consonant(stem)) {
        format!("{stem}ies")
    } else if ["s", "x", "z", "ch", "sh", "o"]
        .iter()
        .any(|end| base.ends_with(end))
    {
        format!("{base}es")
    } else {
        format!("{base}s")
    }
}

fn participle(base: &str) -> String {
    if let Some(stem) = base
        .strip_suffix('e')
        .filter(|stem| !stem.ends_with(['e', 'o', 'y']))
    {
        return format!("{stem}ing");
    }
    let letters: Vec<char> = base.chars().rev().take(3).collect();
    let doubles = match letters[..] {
        // One vowel between consonants in a word of one syllable, or in one stressed at its end.
        [last, vowel, before] => {
            !"aeiouwxy".contains(last)
                && "aeiou".contains(vowel)
                && !"aeiou".contains(before)
                && (base.len() <= 4 || ["program", "format", "debug", "submit", "transfer"].contains(&base))
                && !["open", "edit", "enter"].contains(&base)
        }
        _ => false,
    };
    if doubles && base != "format" {
        let last = letters[0];
        format!("{base}{last}ing")
    } else if base == "format" {
        "formatting".to_owned()
    } else {
        format!("{base}ing")
    }
}

fn ends_in_consonant(stem: &str) -> bool {
    stem.chars().last().is_some_and(|last| !"aeiou".contains(last))
}
