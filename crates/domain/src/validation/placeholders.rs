//! Text that stands for text still to be written (data model 2.3).

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use crate::language::Language;
use crate::wording::normalize;

/// Characters before and after a template variable within which words such as "template" show that it is taught.
const TEACHING_REACH: usize = 48;

/// Finds the byte ranges of one kind of placeholder.
type Finder = fn(&str, Language) -> Vec<Range<usize>>;

/// The first placeholder in `text`; `None` where there is none. Whole words count, and what stands in code, in
/// quotes or beside words such as "template" is taught and not left over. An empty text is its own placeholder.
pub fn find_placeholder(text: &str, language: Language) -> Option<String> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Some(String::new());
    }
    if is_stock_title(trimmed) {
        return Some(trimmed.to_owned());
    }
    let quoted = quoted_spans(trimmed);
    let is_shown = |span: &Range<usize>| {
        quoted
            .iter()
            .any(|quote| quote.start <= span.start && span.end <= quote.end)
    };
    let kinds: [Finder; 5] = [markers, brackets, template_variables, lone_ellipses, filler];
    kinds
        .into_iter()
        .flat_map(|kind| kind(trimmed, language))
        .find(|span| !is_shown(span))
        .map(|span| trimmed[span].trim().to_owned())
}

/// The parts of a text that show something literally: code, formulas and quotations, unless the whole text is one.
fn quoted_spans(text: &str) -> Vec<Range<usize>> {
    static SHOWN: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let code = r"```.*?(?:```|\z)|~~~.*?(?:~~~|\z)|``[^\n]*?``|`[^`\n]+`|<code>.*?</code>|<pre>.*?</pre>|\$\$.*?\$\$";
        let quotes = "\"[^\"\\n]{1,200}\"|«[^»\\n]{1,200}»|“[^”\\n]{1,200}”|„[^“”\\n]{1,200}[“”]|‘[^’\\n]{1,200}’|(?:^|[\\s(])'[^'\\n]{1,80}'";
        Regex::new(&format!("(?s){code}|{quotes}")).ok()
    });
    let Some(shown) = &*SHOWN else { return Vec::new() };
    shown
        .find_iter(text)
        .map(|span| span.range())
        .filter(|span| span.len() < text.len())
        .collect()
}

/// TODO, FIXME, TBD, XXX.
fn markers(text: &str, language: Language) -> Vec<Range<usize>> {
    static MARKER: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"\b(?:TODO|FIXME|TBD|XXX)\b|^(?i:todo|fixme|tbd|xxx)(?::|$)|\b(?i:fixme)\b").ok()
    });
    let Some(marker) = &*MARKER else { return Vec::new() };
    marker
        .find_iter(text)
        .filter(|found| {
            let word = found.as_str().trim_end_matches(':').to_lowercase();
            let before = &text[..found.start()];
            let after = text[found.end()..].trim_start_matches([' ', '-', '\u{a0}']);
            let is_alone = normalize(text) == word;
            match word.as_str() {
                // "TODO" is Spanish and Portuguese for "everything".
                "todo" if matches!(language, Language::Spanish | Language::Portuguese) => {
                    is_alone
                        || text[found.end()..].starts_with(':')
                        || text[found.start()..].starts_with("TODO:")
                }
                "todo" | "fixme" => is_alone || !names_a_subject(before, after),
                "tbd" => is_alone || !text.to_lowercase().contains("trunk"),
                _ => is_alone || !is_thirty(before, &text[found.end()..]),
            }
        })
        .map(|found| found.range())
        .collect()
}

/// Whether "TODO" is what the text is about, as in "TODO list app" or "find TODO and FIXME comments".
fn names_a_subject(before: &str, after: &str) -> bool {
    const SUBJECTS: &[&str] = &[
        "list",
        "lists",
        "app",
        "apps",
        "application",
        "applications",
        "manager",
        "tracker",
        "comment",
        "comments",
        "tag",
        "tags",
        "item",
        "items",
        "project",
        "tool",
        "api",
        "mvc",
        "service",
        "page",
        "board",
        "component",
        "marker",
        "markers",
        "annotation",
        "annotations",
        "bot",
        "cli",
        "backend",
        "frontend",
        "website",
        "program",
        "example",
        "highlight",
        "tree",
        "task",
        "tasks",
        "список",
        "списка",
        "списке",
        "списки",
        "списков",
        "лист",
        "листа",
        "приложение",
        "приложения",
        "приложении",
        "приложений",
        "проект",
        "проекта",
        "комментарий",
        "комментарии",
        "комментариев",
        "комментарием",
        "метка",
        "метки",
        "меток",
        "менеджер",
        "трекер",
        "сервис",
        "бот",
        "бота",
        "задач",
        "задачи",
        "трекера",
        "менеджера",
    ];
    let is_subject = |word: &str| SUBJECTS.contains(&normalize(word).as_str());
    after.split([' ', '-', '\n', '/']).take(3).any(is_subject)
        || before
            .split_whitespace()
            .next_back()
            .is_some_and(|word| is_subject(word) && !word.ends_with(':'))
}

/// Whether "XXX" is the Roman numeral or part of a number's pattern.
fn is_thirty(before: &str, after: &str) -> bool {
    const COUNTED: &[&str] = &[
        "olympiad",
        "olympic",
        "olympics",
        "summer",
        "winter",
        "games",
        "century",
        "centuries",
        "congress",
        "corps",
        "legion",
        "dynasty",
        "anniversary",
        "international",
        "annual",
        "edition",
        "conference",
        "legio",
        "olympiade",
        "век",
        "века",
        "веке",
        "веков",
        "олимпиада",
        "олимпиады",
        "олимпийские",
        "олимпийских",
        "летние",
        "летних",
        "зимние",
        "зимних",
        "съезд",
        "съезда",
        "съезде",
        "династия",
        "династии",
        "конференция",
        "международная",
        "всероссийская",
        "игры",
        "игр",
        "юбилейная",
        "тысячелетие",
    ];
    const COUNTERS: &[&str] = &[
        "chapter",
        "volume",
        "vol",
        "part",
        "book",
        "article",
        "section",
        "psalm",
        "act",
        "pope",
        "king",
        "louis",
        "john",
        "figure",
        "appendix",
        "rule",
        "canto",
        "sonnet",
        "legio",
        "глава",
        "главы",
        "главе",
        "том",
        "тома",
        "часть",
        "раздел",
        "статья",
        "книга",
        "песнь",
    ];
    let pattern_sign = |letter: char| matches!(letter, '-' | '–' | '+') || letter.is_ascii_digit();
    let next = after.split_whitespace().next().map(normalize).unwrap_or_default();
    let previous = before
        .split_whitespace()
        .next_back()
        .map(normalize)
        .unwrap_or_default();
    let is_roman = |word: &str| !word.is_empty() && word.chars().all(|letter| "ivxlcdm".contains(letter));
    let near: Vec<_> = before
        .split_whitespace()
        .rev()
        .take(2)
        .chain(after.split_whitespace().take(2))
        .map(normalize)
        .collect();
    COUNTED.contains(&next.as_str())
        || COUNTERS.contains(&previous.as_str())
        || near.iter().any(|word| is_roman(word) && word != "i")
        || after.starts_with(pattern_sign)
        || before.ends_with(pattern_sign)
}

/// `[insert ...]`, `[название]`, `<your topic>`.
fn brackets(text: &str, _language: Language) -> Vec<Range<usize>> {
    static BRACKET: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let openings = r"insert\s+\S[^\]>]{0,120}|(?:your|enter your|enter the|add your|add the|fill in|specify|describe)\s+\S[^\]>]{0,120}|placeholder[^\]>]{0,80}|(?:вставь|вставьте|вставить|впишите|вписать|укажите|указать|добавьте|заполните|введите|ваш|ваша|ваше|ваши)\s+\S[^\]>]{0,120}";
        let names = r"(?:the |a )?(?:course|lesson|section|module|topic|company|product|project|student|learner|target|author|subject|skill)?[ _-]?(?:name|title|topic|subject|description|company|audience|audience name|date|objective|number)|название(?: [а-яё]{2,20}){0,2}|имя|тема(?: [а-яё]{2,20})?|заголовок|описание(?: [а-яё]{2,20})?|текст|дата|компания|продукт|предмет|навык|todo|tbd|xxx|\.\.\.|…";
        Regex::new(&format!(
            r"(?i)\[\s*(?:{openings}|{names})\s*\]|<\s*(?:{openings}|название(?: [а-яё]{{2,20}})?)\s*>"
        ))
        .ok()
    });
    let Some(bracket) = &*BRACKET else {
        return Vec::new();
    };
    bracket
        .find_iter(text)
        .filter(|found| {
            // `array[name]` is an index and `[Insert rows](page)` a link.
            let is_index = text[..found.start()]
                .chars()
                .next_back()
                .is_some_and(|letter| letter.is_alphanumeric() || matches!(letter, '_' | ')' | ']' | '$'));
            let is_link = text[found.end()..].starts_with(['(', ':']) && found.as_str().starts_with('[');
            !is_index && !is_link
        })
        .map(|found| found.range())
        .collect()
}

/// `{{x}}` and `${x}`, unless the text teaches templates.
fn template_variables(text: &str, _language: Language) -> Vec<Range<usize>> {
    static VARIABLE: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"\{\{[{%#/^&\s]*[\p{L}_][^{}\n]{0,80}\}\}|\$\{\s*[\p{L}_][^{}\n]{0,80}\}").ok()
    });
    let Some(variable) = &*VARIABLE else {
        return Vec::new();
    };
    variable
        .find_iter(text)
        .filter(|found| {
            // Braces of formulas: x^{{n}}, \frac{{a}}{{b}}, ${x}$ .
            let is_formula = text[..found.start()].ends_with(['^', '_', '\\', '}', '{'])
                || text[..found.start()]
                    .chars()
                    .next_back()
                    .is_some_and(char::is_alphabetic)
                    && found.as_str().starts_with('{')
                    && text[..found.start()].contains('\\')
                || text[found.end()..].starts_with(['$', '^', '_']);
            !is_formula && !is_taught(text, &found.range())
        })
        .map(|found| found.range())
        .collect()
}

/// Whether words around a template variable show that templates are the subject.
fn is_taught(text: &str, variable: &Range<usize>) -> bool {
    static TEACHING: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let english = r"\b(?:templat\w*|variables?|placeholders?|interpolat\w*|expressions?|syntax|jinja2?|handlebars|mustache|vue|angular|django|liquid|helm|ansible|terraform|bash|shell|twig|thymeleaf|literals?|f-strings?|merge (?:fields?|tags?)|binding)\b";
        let russian =
            r"шаблон\w*|переменн\w*|подстан\w*|интерполяц\w*|плейсхолдер\w*|выражени\w*|синтаксис\w*";
        Regex::new(&format!("(?i){english}|{russian}")).ok()
    });
    let before: String = text[..variable.start]
        .chars()
        .rev()
        .take(TEACHING_REACH)
        .collect();
    let before: String = before.chars().rev().collect();
    let after: String = text[variable.end..].chars().take(TEACHING_REACH).collect();
    TEACHING
        .as_ref()
        .is_some_and(|teaching| teaching.is_match(&before) || teaching.is_match(&after))
}

/// A line of nothing but dots.
fn lone_ellipses(text: &str, _language: Language) -> Vec<Range<usize>> {
    static ELLIPSIS: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"(?m)^[ \t]*(?:[-*•][ \t]+|\d+[.)][ \t]+)?(?:\.{2,}|…+|\.)[ \t]*$").ok()
    });
    let Some(ellipsis) = &*ELLIPSIS else {
        return Vec::new();
    };
    ellipsis.find_iter(text).map(|found| found.range()).collect()
}

/// "Sample title" and "lorem ipsum".
fn filler(text: &str, _language: Language) -> Vec<Range<usize>> {
    static FILLER: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"(?i)\b(?:sample|placeholder|dummy) (?:title|text here)\b|\blorem\s+ipsum\b").ok()
    });
    static ABOUT_FILLER: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"(?i)\b(?:filler|dummy text|placeholder text|generator|typograph\w*|layout|mock-?ups?)\b|заполнител|текст-рыб|типограф|макет|рыба").ok()
    });
    let Some(filler) = &*FILLER else { return Vec::new() };
    filler
        .find_iter(text)
        .filter(|found| {
            if found.as_str().to_lowercase().starts_with("lorem") {
                let continues = text[found.end()..]
                    .trim_start()
                    .to_lowercase()
                    .starts_with("dolor");
                return continues || !ABOUT_FILLER.as_ref().is_some_and(|about| about.is_match(text));
            }
            // "Write a sample title for your story" asks for one and is none.
            let previous = text[..found.start()]
                .split_whitespace()
                .next_back()
                .map(normalize)
                .unwrap_or_default();
            let is_asked_for =
                ["a", "the", "one", "your", "another", "each", "every"].contains(&previous.as_str());
            !is_asked_for || normalize(text).split(' ').count() <= SHORT_TEXT_WORDS
        })
        .map(|found| found.range())
        .collect()
}

/// Words up to which "this is a sample title" is nothing but a placeholder.
const SHORT_TEXT_WORDS: usize = 6;

/// More letters than any of the names has.
const STOCK_TITLE_LETTERS: usize = 60;

/// Whether the whole text is a name of the field that it stands in.
fn is_stock_title(text: &str) -> bool {
    static STOCK: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let english = r"(?:sample|example|placeholder|dummy|your|untitled|new|some) (?:course |lesson |section |exercise )?(?:title|text|description|objective|topic|lesson|section|course|exercise|name)|(?:course|lesson|section|exercise|module|chapter) (?:title|name|description|objective)|(?:lesson|section|topic|exercise|objective|module|chapter|key topic|learning objective|option|item) (?:\d{1,3}|[a-d]|n|x)|untitled|placeholder|string|text|n a|none|null|undefined|description|title";
        let russian = r"(?:пример|образец) (?:названия|заголовка|текста|темы|цели|описания)|(?:название|заголовок|описание|тема) (?:курса|урока|раздела|модуля|упражнения)|(?:урок|раздел|тема|упражнение|цель|модуль|глава) \d{1,3}|без названия|название|заголовок|описание|текст|заглушка|текст заглушка|нет данных";
        Regex::new(&format!(r"^(?:{english}|{russian})$")).ok()
    });
    // Most texts are long, and need not be folded to be told from a title.
    if text.chars().filter(|letter| letter.is_alphanumeric()).count() > STOCK_TITLE_LETTERS {
        return false;
    }
    STOCK
        .as_ref()
        .is_some_and(|stock| stock.is_match(&normalize(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(
            find_placeholder(text, Language::English).as_deref(),
            expected,
            "{text}"
        );
    }

    fn found(text: &str) {
        assert!(find_placeholder(text, Language::English).is_some(), "{text}");
        assert!(find_placeholder(text, Language::Russian).is_some(), "{text}");
    }

    fn clean(text: &str) {
        assert_eq!(find_placeholder(text, Language::English), None);
        assert_eq!(find_placeholder(text, Language::Russian), None);
    }

    #[test]
    fn markers_are_found_as_whole_words() {
        check("TODO", Some("TODO"));
        check("TODO: describe the section", Some("TODO"));
        check("todo: describe the section", Some("todo:"));
        check("This part is TBD", Some("TBD"));
        check("Learn to build XXX in a week", Some("XXX"));
        found("FIXME write a better title");
        found("Описание: TODO");
        found("XXX");
        found("Section (TBD)");
        clean("Method of loci and mastodons");
        clean("Build a ToDo list app");
        clean("Build a TODO list app with React");
        clean("Создание TODO-приложения на Vue");
        clean("Find TODO and FIXME comments in a code base");
        clean("The XXX Olympiad in London");
        clean("Игры XXX Олимпиады в Лондоне");
        clean("Popes XXIX, XXX and XXXI");
        clean("Глава XXX романа");
        clean("Phone numbers such as 555-XXX-1234");
        clean("Trunk-based development (TBD) in teams");
        clean("Mark unfinished code with `TODO` and find it later");
        clean("Mark unfinished code with \"FIXME\" and find it later");
        assert_eq!(
            find_placeholder("TODO lo que hay que saber", Language::Spanish),
            None
        );
        assert!(find_placeholder("TODO: título", Language::Spanish).is_some());
    }

    #[test]
    fn brackets_that_ask_for_text_are_found() {
        check("Welcome to [insert topic here]!", Some("[insert topic here]"));
        found("[название]");
        found("Курс по теме [название курса]");
        found("[вставьте описание]");
        found("Write to [your company] today");
        found("<insert title>");
        found("About [Course Name]");
        clean("The array[index] and list[name] of a program");
        clean("See [Insert rows](https://example.org/insert)");
        clean("Cite sources as [1] and [2]");
        clean("A generic type such as Vec[T]");
        clean("Press [Insert] to switch modes");
    }

    #[test]
    fn template_variables_are_found_unless_templates_are_taught() {
        check("Hello {{name}}, welcome", Some("{{name}}"));
        check("Hello ${name}, welcome", Some("${name}"));
        found("Добро пожаловать на курс {{ course_title }}");
        clean("Use the variable {{name}} to greet the user");
        clean("Use the variable `{{name}}` to greet the user");
        clean("Jinja replaces {{ user }} when a page is rendered");
        clean("Шаблон письма: {{имя}} и дата");
        clean("Template literals: `${x}` inserts a value");
        clean("A sum over $x^{{n}}$ terms");
        clean("The set {{1, 2}, {3}} has two members");
    }

    #[test]
    fn lone_ellipses_and_filler_are_found() {
        check("...", Some("..."));
        check(" … ", Some("…"));
        check("First point\n...\nLast point", Some("..."));
        check("Sample title", Some("Sample title"));
        check("This is a sample title", Some("sample title"));
        check("Lorem ipsum dolor sit amet", Some("Lorem ipsum"));
        found("Lesson title");
        found("Название урока");
        found("Урок 1");
        check("  ", Some(""));
        clean("Wait ... and look again");
        clean("The series 1, 2, 4, ...");
        clean("Write a sample title for your blog post and compare it");
        clean("Lorem ipsum as filler in page layouts");
        clean("Урок 1: первые шаги");
        clean("Lesson title design for course authors");
        clean("Spread syntax f(...args) passes a list");
    }

    #[test]
    fn code_blocks_are_not_prose() {
        clean("Read this:\n\n```html\n<h1>{{ title }}</h1>\n<!-- TODO -->\n...\n```\n\nThen change it.");
        clean("```\n${HOME}\n```\nprints a folder.");
    }
}
