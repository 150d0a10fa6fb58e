//! The words of the display, in English and Russian.

use domain::generation::Step;
use domain::language::Language;

/// The language of the display: the user's where it is Russian, else English.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Words {
    /// English.
    English,
    /// Russian.
    Russian,
}

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident = $english:literal, $russian:literal;)+) => {
        impl Words {
            $($(#[$doc])*
            pub(crate) const fn $name(self) -> &'static str {
                match self { Self::English => $english, Self::Russian => $russian }
            })+
        }
    };
}

words! {
    /// Before counters of sections.
    sections = "sections", "разделы";
    /// Before counters of lessons.
    lessons = "lessons", "уроки";
    /// Before counters of documents.
    documents = "documents", "документы";
    /// What the processing of documents does.
    reading = "reading the documents", "чтение документов";
    /// Nothing in them answers a question.
    documents_silent = "The documents do not say.", "В документах об этом не сказано.";
    /// Before the name of a document.
    not_searched = "Not searched, because it could not be read", "Не учтён, потому что не прочитан";
    /// Before the number of a page.
    page = "p.", "с.";
    /// Before the names of documents.
    unused_documents = "No lesson uses these documents", "Ни один урок не использует эти документы";
    /// What the analysis does.
    analysing = "what the course must cover", "что должно быть в курсе";
    /// What the finalisation does.
    finalizing = "checks and quality report", "проверки и отчёт о качестве";
    /// Most of the budget is spent.
    budget_near = "most of the budget is spent", "бюджет почти израсходован";
    /// Tokens a second.
    tokens_per_second = "tokens/s", "токенов/с";
    /// Time since the beginning.
    elapsed = "elapsed", "прошло";
    /// Time that is probably left.
    left = "left, about", "осталось около";
    /// A section is there.
    section = "Section", "Раздел";
    /// A lesson is written.
    lesson = "Lesson", "Урок";
    /// Counter of words.
    words = "words", "слов";
    /// A lesson is below the threshold.
    needs_review = "needs review", "требует проверки";
    still_working = "still waiting for the model", "ждём ответа модели";
    cost_unknown = "cost unknown", "цена неизвестна";
    /// Counter of lessons that nothing stands against.
    good = "good", "готовы";
    /// Counter of lessons that an author has to look at, and what is wrong with one.
    for_your_eyes = "needs your eyes", "нужно посмотреть";
    /// Counter of lessons that are missing, and what is wrong with one.
    not_written = "could not be written", "не удалось написать";
    /// Before the command that tries again what is open.
    all_again = "All of these once more", "Ещё раз всё это";
    /// An attempt was rejected.
    retry = "trying again", "повтор";
    /// The structure is saved.
    structure_ready = "Structure saved", "Структура сохранена";
    /// Row of the summary.
    quality = "quality", "качество";
    /// Row of the summary.
    tokens = "tokens", "токены";
    /// Row of the summary.
    cost = "cost", "стоимость";
    /// Row of the summary.
    time = "time", "время";
    /// Row of the summary.
    first_section = "first section after", "первый раздел через";
    /// Row of the summary.
    calls = "model calls", "вызовы модели";
    /// Heading of the list of files.
    files = "Files", "Файлы";
    /// Attempts beyond the first.
    retries = "tried again", "повторов";
    /// Calls taken over from an earlier run.
    taken_over = "taken over from before", "взято из прошлого запуска";
}

impl Words {
    /// The words for a user of this language.
    pub(crate) const fn of(language: Language) -> Self {
        match language {
            Language::Russian => Self::Russian,
            _ => Self::English,
        }
    }

    /// The name of a step of a course with or without documents.
    pub(crate) const fn step(self, step: Step, has_documents: bool) -> &'static str {
        match self {
            Self::English => step.name_en(has_documents),
            Self::Russian => step.name_ru(has_documents),
        }
    }
}
