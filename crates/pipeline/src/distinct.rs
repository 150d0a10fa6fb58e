//! Chooses titles and topics that differ from each other and stay on the topic.
//!
//! Small models repeat themselves, so they are asked for more candidates than are used (generation 3.7).

use std::collections::HashSet;

use domain::language::Language;
use domain::wording::{is_function_word, stem};

use crate::context::Run;
use crate::error::PipelineError;
use crate::quality::{cosine, embed};
use crate::wording::folded;

/// The first `count` candidates, in their order, that are no near-duplicate of an earlier one; if too few differ,
/// the least alike of the rest fill up. The candidates farthest from what the course is `about` are left out first, as
/// long as enough remain: small models drift. `taken` are texts that no candidate may repeat, such as the course's title.
///
/// # Errors
/// [`PipelineError::Embedding`] when the embedding model fails.
pub(crate) async fn choose(
    run: &Run,
    about: &str,
    taken: &[String],
    candidates: &[String],
    count: usize,
) -> Result<Vec<String>, PipelineError> {
    let candidates = new_ones(taken, candidates);
    let (generic, specific): (Vec<String>, Vec<String>) =
        candidates.into_iter().partition(|text| is_generic(text));
    // What says nothing in particular is taken only where nothing else is left.
    let candidates: Vec<String> = if specific.len() >= count {
        specific
    } else {
        specific.into_iter().chain(generic).collect()
    };
    let texts: Vec<String> = taken
        .iter()
        .chain(&candidates)
        .cloned()
        .chain([about.to_owned()])
        .collect();
    let mut vectors = embed(run, &texts).await?;
    let about = vectors.pop().unwrap_or_default();
    let mut texts = texts;
    texts.truncate(vectors.len());
    drop_farthest(&mut texts, &mut vectors, &about, taken.len(), count);
    let threshold = run.calibration().duplicate_threshold;
    Ok(pick(
        &texts,
        taken.len(),
        |a, b| {
            if subject(&texts[a]) == subject(&texts[b]) {
                1.0
            } else {
                cosine(&vectors[a], &vectors[b])
            }
        },
        threshold,
        count,
    ))
}

/// One of so many candidates may be left out for being far from the topic.
const LEFT_OUT_SHARE: usize = 2;

/// Leaves out the candidates farthest from `about`: at most half, and never so many that too few remain.
fn drop_farthest(
    texts: &mut Vec<String>,
    vectors: &mut Vec<Vec<f32>>,
    about: &[f32],
    taken: usize,
    count: usize,
) {
    let candidates = texts.len() - taken;
    let left_out = candidates.saturating_sub(count).min(candidates / LEFT_OUT_SHARE);
    for _ in 0..left_out {
        let nearness = |place: &usize| cosine(&vectors[*place], about);
        let farthest = (taken..texts.len()).min_by(|a, b| nearness(a).total_cmp(&nearness(b)));
        let Some(farthest) = farthest else { return };
        texts.remove(farthest);
        vectors.remove(farthest);
    }
}

/// The candidates that repeat neither what is taken nor each other.
fn new_ones(taken: &[String], candidates: &[String]) -> Vec<String> {
    let mut seen: HashSet<String> = taken.iter().map(|text| folded(text)).collect();
    candidates
        .iter()
        .filter(|candidate| seen.insert(folded(candidate)))
        .cloned()
        .collect()
}

/// Words that every course could have in a title.
const GENERIC_WORDS: [&str; 22] = [
    "basics",
    "fundamentals",
    "introduction",
    "overview",
    "tips",
    "resources",
    "challenges",
    "projects",
    "conclusion",
    "glossary",
    "started",
    "practices",
    "principles",
    "understanding",
    "advanced",
    "summary",
    "techniques",
    "topics",
    "concepts",
    "essentials",
    "основы",
    "введение",
];

/// Whether a title could stand in any course.
pub(crate) fn is_generic(text: &str) -> bool {
    folded(text).split(' ').any(|word| GENERIC_WORDS.contains(&word))
}

/// What is done with anything: what such a title is about tells whether it teaches something new.
const GENERAL_DOING: [&str; 6] = [
    "using",
    "handling",
    "managing",
    "understanding",
    "exploring",
    "performing",
];

/// What is done before anything else.
const FIRST_DOING: [&str; 6] = [
    "beginning",
    "introducing",
    "planning",
    "preparing",
    "setting",
    "starting",
];

/// A lesson worded as a task, in the words that tell it from others.
struct Task {
    folded: String,
    subject: String,
    is_general: bool,
    /// Whether it prepares for the course's whole subject, as `Preparing for Beekeeping` does.
    is_first: bool,
    /// Stems of its words of four letters and more, without those of the course's title.
    stems: Vec<String>,
}

impl Task {
    fn new(title: &str, course: &str, language: Language) -> Self {
        let folded = folded(title);
        let first = folded.split(' ').next().unwrap_or_default();
        let is_general = GENERAL_DOING.contains(&first);
        let of_course = stems(course, language);
        let subject = subject(title);
        let is_whole = names_the_course(&subject, course)
            && stems(&subject, language)
                .iter()
                .all(|stem| of_course.contains(stem));
        let stems = stems(&folded, language)
            .into_iter()
            .skip(usize::from(is_general))
            .filter(|stem| !of_course.contains(stem))
            .collect();
        Self {
            is_first: is_whole && FIRST_DOING.contains(&first),
            subject,
            is_general,
            stems,
            folded,
        }
    }

    /// Whether two tasks are the same as far as the words say: `Using JOINs in Queries` teaches what `Joining Tables` does.
    fn repeats(&self, other: &Self) -> bool {
        let head_in = |general: &Self, whole: &Self| {
            general.is_general
                && general
                    .stems
                    .first()
                    .is_some_and(|head| whole.stems.contains(head))
        };
        self.folded == other.folded || head_in(self, other) || head_in(other, self)
    }

    /// Whether two tasks do different things to the same: their texts are alike, and they are different lessons.
    fn differs_in_doing(&self, other: &Self) -> bool {
        self.subject == other.subject && self.folded != other.folded && !self.is_general && !other.is_general
    }
}

/// Stems of the words of four letters and more, in their order.
fn stems(text: &str, language: Language) -> Vec<String> {
    stems_of(text, language, |_| true)
}

/// Those of them that carry meaning.
fn telling_stems(text: &str, language: Language) -> Vec<String> {
    stems_of(text, language, |word| !is_function_word(word))
}

fn stems_of(text: &str, language: Language, is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
    folded(text)
        .split(' ')
        .filter(|word| word.chars().count() >= 4 && is_wanted(word))
        .map(|word| stem(word, language))
        .collect()
}

/// Whether a title has a word of its own: one that is not in the `other` title and could not stand in any course.
pub(crate) fn tells_more_than(title: &str, other: &str) -> bool {
    let known = folded(other);
    folded(title)
        .split(' ')
        .filter(|word| word.chars().count() >= 4 && !GENERIC_WORDS.contains(word))
        .any(|word| {
            // `analysis` says no more than `analysts`.
            let beginning: String = word.chars().take(WORD_BEGINNING).collect();
            known.split(' ').all(|known| !known.starts_with(&beginning))
        })
}

/// Words by which a title says that it opens a course.
const OPENING_WORDS: [&str; 6] = [
    "basic",
    "beginner",
    "beginners",
    "beginning",
    "introductory",
    "started",
];

/// Whether a title belongs at the beginning of a course.
pub(crate) fn opens(title: &str) -> bool {
    folded(title).split(' ').any(|word| OPENING_WORDS.contains(&word))
}

/// What the parts of a course are about, as far as the words of their lessons' titles say beyond the course's title.
pub(crate) struct Subjects {
    course: Vec<String>,
    parts: Vec<HashSet<String>>,
    language: Language,
}

impl Subjects {
    /// One subject a part, of the titles that it has.
    pub(crate) fn new<'a, Titles: IntoIterator<Item = &'a String>>(
        parts: impl IntoIterator<Item = Titles>,
        course: &str,
        language: Language,
    ) -> Self {
        let words = |titles: Titles| {
            titles
                .into_iter()
                .flat_map(|title| telling_stems(title, language))
        };
        Self {
            parts: parts.into_iter().map(|titles| words(titles).collect()).collect(),
            course: stems(course, language),
            language,
        }
    }

    /// Whether a text, such as the name of a section, speaks of the part at `place` at least as much as of any other.
    pub(crate) fn fits(&self, text: &str, place: usize) -> bool {
        let words: HashSet<String> = telling_stems(text, self.language)
            .into_iter()
            .filter(|stem| !self.course.contains(stem))
            .collect();
        let said_in = |part: &HashSet<String>| words.intersection(part).count();
        let own = self.parts.get(place).map_or(0, said_in);
        self.parts.iter().all(|part| said_in(part) <= own)
    }
}

/// Words that begin with so many same letters are taken for one.
const WORD_BEGINNING: usize = 6;

/// What a title is about, without what is done with it: `Managing Bee Injuries` and `Handling bee injuries` teach the
/// same, however far apart an embedding model sees them.
fn subject(text: &str) -> String {
    let folded = folded(text);
    match folded.split_once(' ') {
        Some((doing, rest)) if doing.len() > 4 && doing.ends_with("ing") => rest.to_owned(),
        _ => folded,
    }
}

/// A proposal for a lesson, and where in its list it stands: 0 is the beginning, 1 the end.
struct Proposal {
    title: String,
    task: Task,
    place: f32,
    /// The number of its list, from 0, the richest.
    list: usize,
}

/// The lessons of a course, in teaching order, from several lists that each go from the first steps to the hardest. The
/// list with the most different proposals is followed; what it lacks comes from the others, at the same height. Of too many,
/// those farthest from what the course is `about` are left out, wherever they stand: cutting the end would cut the hardest.
/// Where too few differ, there are fewer.
///
/// # Errors
/// [`PipelineError::Embedding`] when the embedding model fails.
pub(crate) async fn lessons(
    run: &Run,
    about: &str,
    lists: &[Vec<String>],
    count: usize,
) -> Result<Vec<String>, PipelineError> {
    let proposals = proposals(&run.inputs().title, run.language(), lists);
    let texts: Vec<String> = proposals
        .iter()
        .map(|proposal| proposal.title.clone())
        .chain([about.to_owned()])
        .collect();
    let mut vectors = embed(run, &texts).await?;
    let about = vectors.pop().unwrap_or_default();
    let threshold = run.calibration().duplicate_threshold;
    let mut kept: Vec<usize> = Vec::new();
    for (index, proposal) in proposals.iter().enumerate() {
        if proposal.list > 0 && kept.len() >= count {
            break;
        }
        // In one list, the model has set a task beside another that does something else to the same.
        let nearest = kept
            .iter()
            .filter(|&&other| {
                proposals[other].list != proposal.list
                    || !proposal.task.differs_in_doing(&proposals[other].task)
            })
            .map(|&other| cosine(&vectors[index], &vectors[other]))
            .fold(-1.0, f32::max);
        if nearest < threshold {
            kept.push(index);
        }
    }
    let nearness = |index: &usize| cosine(&vectors[*index], &about);
    // The first proposal opens the course, and general words are far from everything.
    while kept.len() > count.max(1)
        && let Some(place) =
            (1..kept.len()).min_by(|&a, &b| nearness(&kept[a]).total_cmp(&nearness(&kept[b])))
    {
        kept.remove(place);
    }
    kept.sort_by(|&a, &b| proposals[a].place.total_cmp(&proposals[b].place));
    Ok(kept
        .into_iter()
        .map(|index| proposals[index].title.clone())
        .collect())
}

/// The proposals of all lists with the number of their list, the richest list first; none twice, and none that could stand
/// in any course except at the beginning of the first, where they name the course.
fn proposals(course: &str, language: Language, lists: &[Vec<String>]) -> Vec<Proposal> {
    let mut lists: Vec<Vec<Proposal>> = lists
        .iter()
        .map(|list| {
            let last = list.len().saturating_sub(1).max(1) as f32;
            let proposals = list.iter().enumerate().map(|(index, title)| Proposal {
                title: title.clone(),
                task: Task::new(title, course, language),
                place: index as f32 / last,
                list: 0,
            });
            let telling = proposals.filter(|proposal| {
                let opens = proposal.place <= 0.0 && names_the_course(&proposal.title, course);
                (opens || !is_generic(&proposal.title)) && proposal.task.folded != folded(course)
            });
            without_repeats(telling)
        })
        .collect();
    lists.sort_by_key(|list| std::cmp::Reverse(list.len()));
    let numbered = lists.into_iter().enumerate().flat_map(|(number, list)| {
        list.into_iter().map(move |proposal| Proposal {
            list: number,
            ..proposal
        })
    });
    let mut proposals =
        without_repeats(numbered.filter(|proposal| proposal.list == 0 || !is_generic(&proposal.title)));
    // A small model thinks of preparing late; learners cannot.
    for proposal in proposals.iter_mut().filter(|proposal| proposal.task.is_first) {
        proposal.place = 0.0;
    }
    proposals
}

/// Whether a title has a word of the course's own title, as `Understanding SQL Basics` has.
fn names_the_course(title: &str, course: &str) -> bool {
    let course = folded(course);
    folded(title)
        .split(' ')
        .filter(|word| !GENERIC_WORDS.contains(word))
        .any(|word| word.chars().count() >= 3 && course.split(' ').any(|own| own == word))
}

fn without_repeats(proposals: impl Iterator<Item = Proposal>) -> Vec<Proposal> {
    let mut kept: Vec<Proposal> = Vec::new();
    for proposal in proposals {
        if !kept.iter().any(|other| proposal.task.repeats(&other.task)) {
            kept.push(proposal);
        }
    }
    kept
}

/// The first `taken` texts are no candidates. Exact repeats are never chosen.
fn pick(
    texts: &[String],
    taken: usize,
    similarity: impl Fn(usize, usize) -> f32,
    threshold: f32,
    count: usize,
) -> Vec<String> {
    let mut chosen: Vec<usize> = Vec::new();
    let mut spare: Vec<(f32, usize)> = Vec::new();
    for candidate in taken..texts.len() {
        let key = folded(&texts[candidate]);
        if (0..taken)
            .chain(chosen.iter().copied())
            .any(|other| folded(&texts[other]) == key)
        {
            continue;
        }
        let nearest = (0..taken)
            .chain(chosen.iter().copied())
            .map(|other| similarity(candidate, other))
            .fold(-1.0, f32::max);
        if nearest < threshold {
            chosen.push(candidate);
        } else {
            spare.push((nearest, candidate));
        }
    }
    chosen.truncate(count);
    spare.sort_by(|a, b| a.0.total_cmp(&b.0));
    let missing = count.saturating_sub(chosen.len());
    for (_, candidate) in spare {
        let key = folded(&texts[candidate]);
        if chosen.len() < count && chosen.iter().all(|&other| folded(&texts[other]) != key) {
            chosen.push(candidate);
        }
    }
    if missing > 0 {
        // The order in which they were given is the teaching order.
        chosen.sort_unstable();
    }
    chosen.into_iter().map(|index| texts[index].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subject_leaves_out_what_is_done() {
        let check = |text: &str, expected: &str| assert_eq!(subject(text), expected);
        check("Managing Bee Injuries", "bee injuries");
        check("Handling bee injuries", "bee injuries");
        check("Spring", "spring");
        check("King bees", "king bees");
        check("Сбор мёда", "сбор мёда");
    }

    #[test]
    fn richest_list_is_followed_and_general_titles_only_open_it() {
        let poor = [
            "Baking Basics",
            "Joining Tables",
            "Joining Tables",
            "Joining tables",
        ];
        let rich = [
            "Understanding SQL Basics",
            "Selecting Rows",
            "More SQL Basics",
            "Creating Views",
            "Preparing for SQL",
            "Using Views",
        ];
        let lists = [poor.map(str::to_owned).to_vec(), rich.map(str::to_owned).to_vec()];
        let found: Vec<(usize, String, String)> = proposals("SQL", Language::English, &lists)
            .into_iter()
            .map(|proposal| (proposal.list, proposal.title, format!("{:.2}", proposal.place)))
            .collect();
        let expected = [
            (0, "Understanding SQL Basics", "0.00"),
            (0, "Selecting Rows", "0.20"),
            (0, "Creating Views", "0.60"),
            (0, "Preparing for SQL", "0.00"),
            (1, "Joining Tables", "0.33"),
        ]
        .map(|(list, title, place)| (list, title.to_owned(), place.to_owned()));
        assert_eq!(found, expected);
    }

    #[test]
    fn tasks_repeat_each_other_in_other_words() {
        let check = |a: &str, b: &str, expected: bool| {
            let task = |title: &str| Task::new(title, "SQL for Data Analysts", Language::English);
            assert_eq!(task(a).repeats(&task(b)), expected, "{a} and {b}");
            assert_eq!(task(b).repeats(&task(a)), expected, "{b} and {a}");
        };
        check("Joining Tables", "Using JOINs with Multiple Tables", true);
        check("Aggregating Data", "Using Aggregations in Complex Queries", true);
        check("Using Subqueries", "Using Subqueries with Aggregations", true);
        check("Joining Tables", "joining tables", true);
        check("Joining Tables", "Creating Tables", false);
        check("Selecting Data", "Using Data Types", false);
        check("Writing SQL Queries", "Using SQL", false);
    }

    #[test]
    fn text_fits_the_lessons_that_it_speaks_of() {
        let owned = |texts: [&str; 3]| texts.map(str::to_owned).to_vec();
        let sections = [
            owned(["Understanding SQL Syntax", "Selecting Data", "Filtering Data"]),
            owned(["Sorting Data", "Grouping Data", "Aggregating Data"]),
            owned(["Using Functions", "Using Stored Procedures", "Using Transactions"]),
        ];
        let subjects = Subjects::new(&sections, "SQL for Data Analysts", Language::English);
        let check = |name: &str, expected: [bool; 3]| {
            let found = [0, 1, 2].map(|number| subjects.fits(name, number));
            assert_eq!(found, expected, "{name}");
        };
        check("SQL Syntax and SELECT Statement", [true, false, false]);
        check("Group BY and Aggregate Values", [false, true, false]);
        check("Stored Procedures and Functions", [false, false, true]);
        check("Data Manipulation", [true; 3]);
        check("a query with functions for groups", [false, true, true]);
    }

    #[test]
    fn title_that_only_says_the_course_tells_nothing() {
        let check = |title: &str, expected: bool| {
            assert_eq!(
                tells_more_than(title, "SQL for Data Analysts"),
                expected,
                "{title}"
            );
        };
        check("SQL for Data Analysis", false);
        check("SQL Basics", false);
        check("SQL Functions", true);
    }

    #[test]
    fn distinct_candidates_are_chosen_in_order() {
        let texts: Vec<String> = [
            "Bees",
            "Hive parts",
            "hive parts",
            "Parts of the hive",
            "Honey harvest",
            "Bees!",
        ]
        .map(str::to_owned)
        .to_vec();
        let alike = |a: usize, b: usize| {
            if matches!((a.min(b), a.max(b)), (1, 3)) {
                0.99
            } else {
                0.5
            }
        };
        let check =
            |count: usize, expected: &[&str]| assert_eq!(pick(&texts, 1, alike, 0.95, count), expected);
        check(2, &["Hive parts", "Honey harvest"]);
        check(3, &["Hive parts", "Parts of the hive", "Honey harvest"]);
        check(9, &["Hive parts", "Parts of the hive", "Honey harvest"]);
    }
}
