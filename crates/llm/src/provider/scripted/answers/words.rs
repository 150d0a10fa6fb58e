//! Words and sentences about nothing in particular, grammatical enough to be taken for a course.

use domain::language::Language;
use domain::taxonomy::measurable_verbs;
use rand::Rng;
use rand::rngs::StdRng;

use crate::request::{Request, Role};

/// Words of the question that the answer mentions.
const MOST_TERMS: usize = 5;
/// Shorter words say little about the subject.
const SHORTEST_TERM: usize = 5;

pub(super) struct Words {
    language: Language,
    /// What of a thing: plural, so that the Russian nominative and accusative are alike.
    aspects: Vec<&'static str>,
    /// The thing, in the genitive in Russian.
    things: Vec<&'static str>,
    contexts: Vec<&'static str>,
    verbs: Vec<&'static str>,
}

fn listed(text: &'static str) -> Vec<&'static str> {
    text.split('|').map(str::trim).collect()
}

impl Words {
    pub(super) fn of(language: Language) -> Self {
        let (language, aspects, things, contexts) = match language {
            Language::Russian => (language, RUSSIAN_ASPECTS, RUSSIAN_THINGS, RUSSIAN_CONTEXTS),
            _ => (
                Language::English,
                ENGLISH_ASPECTS,
                ENGLISH_THINGS,
                ENGLISH_CONTEXTS,
            ),
        };
        let verbs = measurable_verbs(language).iter().map(|(verb, _)| *verb).collect();
        Self {
            language,
            aspects: listed(aspects),
            things: listed(things),
            contexts: listed(contexts),
            verbs,
        }
    }

    /// A noun phrase of three parts: about 30 000 different ones.
    pub(super) fn name(&self, rng: &mut StdRng) -> String {
        capitalized(&self.phrase(rng))
    }

    /// Begins with a verb that can be tested.
    pub(super) fn objective(&self, rng: &mut StdRng) -> String {
        let verb = pick(&self.verbs, rng);
        format!("{verb} {}", self.phrase(rng))
    }

    pub(super) fn sentence(&self, rng: &mut StdRng) -> String {
        let (first, second) = (self.phrase(rng), self.phrase(rng));
        let frames: &[&str] = match self.language {
            Language::Russian => &RUSSIAN_SENTENCES,
            _ => &ENGLISH_SENTENCES,
        };
        capitalized(&pick(frames, rng).replace("{1}", &first).replace("{2}", &second))
    }

    /// A sentence that names what the question was about.
    pub(super) fn about(&self, terms: &[String]) -> String {
        let terms = terms.join(", ");
        match self.language {
            Language::Russian => format!("Эта часть курса посвящена следующему: {terms}."),
            _ => format!("This part of the course is about {terms}."),
        }
    }

    fn phrase(&self, rng: &mut StdRng) -> String {
        let (aspect, thing, context) = (
            pick(&self.aspects, rng),
            pick(&self.things, rng),
            pick(&self.contexts, rng),
        );
        match self.language {
            Language::Russian => format!("{aspect} {thing} {context}"),
            _ => format!("{aspect} of {thing} {context}"),
        }
    }
}

fn pick<'a>(words: &[&'a str], rng: &mut StdRng) -> &'a str {
    words[rng.random_range(0..words.len())]
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The most frequent long words of the user's messages, in order of appearance.
pub(super) fn terms_of(request: &Request) -> Vec<String> {
    let texts = request
        .messages
        .iter()
        .filter(|message| message.role == Role::User);
    let mut counted: Vec<(String, usize)> = Vec::new();
    for message in texts {
        for word in message
            .content
            .split(|letter: char| !letter.is_alphabetic())
            .take(500)
        {
            if word.chars().count() < SHORTEST_TERM {
                continue;
            }
            match counted
                .iter_mut()
                .find(|(known, _)| known.to_lowercase() == word.to_lowercase())
            {
                Some((_, count)) => *count += 1,
                None => counted.push((word.to_owned(), 1)),
            }
        }
    }
    counted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counted
        .into_iter()
        .take(MOST_TERMS)
        .map(|(word, _)| word)
        .collect()
}

const ENGLISH_ASPECTS: &str = "the limits|the failure modes|the building blocks|the trade-offs|the typical mistakes|\
    the quality criteria|the hidden costs|the warning signs|the life cycle|the design rules|the main stages|\
    the measurable effects|the safety margins|the open questions|the selection criteria|the root causes|\
    the input data|the acceptance tests|the recovery steps|the naming rules|the working principles|\
    the competing models|the historical sources|the reporting lines|the error budgets|the reference values";
const ENGLISH_THINGS: &str = "message queues|feedback loops|project plans|sensor networks|customer interviews|\
    data pipelines|team agreements|cooling circuits|search indexes|training sessions|lighting schemes|\
    financial reports|irrigation systems|teaching materials|storage clusters|decision trees|supply chains|\
    voice recordings|garden layouts|test suites|budget forecasts|product roadmaps|lesson scenarios|\
    control charts|wood joints|survey results|network protocols|colour palettes|recipes|clinical trials";
const ENGLISH_CONTEXTS: &str = "under heavy load|in small teams|during a pilot project|on a tight budget|\
    before the first release|after an incident|in everyday practice|across several departments|\
    with incomplete data|in remote work|for a first-time user|over a whole year|in a public institution|\
    when requirements change|with limited equipment|during handover|in a competitive market|\
    for a mixed audience|at the end of a quarter|in a noisy environment|with volunteers|on older hardware|\
    before an external audit|in the open air|without special tools|for long-term maintenance|\
    in a multilingual group|under time pressure|with shared resources|in a laboratory setting|\
    at a large scale|on a mobile device|during seasonal peaks|with a new supplier|for a regional office|\
    in a family business|after a merger|for an exhibition|in a training workshop|with automated checks";
const ENGLISH_SENTENCES: [&str; 6] = [
    "we compare {1} with {2} and note what follows for the choice of a method.",
    "a worked case shows how {1} depend on decisions that were made early, and how {2} can be checked afterwards.",
    "the learner collects observations on {1}, sorts them and explains the result to a colleague.",
    "two teams handled {1} in different ways, and the difference became visible in {2}.",
    "a short table helps to decide which of {1} matter first and which can wait.",
    "the task ends with a one-page record in which {1} are described and tested against {2}.",
];

const RUSSIAN_ASPECTS: &str = "ограничения|признаки отказов|составные части|скрытые издержки|типичные ошибки|\
    критерии качества|этапы развития|правила устройства|измеримые последствия|запасы прочности|\
    открытые вопросы|критерии выбора|причины сбоев|исходные данные|приёмочные испытания|шаги восстановления|\
    правила именования|принципы работы|конкурирующие модели|источники сведений|показатели надёжности|\
    способы проверки|условия применения|приёмы настройки|границы допустимого|опорные значения";
const RUSSIAN_THINGS: &str = "очередей сообщений|контуров обратной связи|проектных планов|сетей датчиков|\
    интервью с заказчиками|конвейеров данных|командных договорённостей|контуров охлаждения|поисковых индексов|\
    учебных занятий|схем освещения|финансовых отчётов|систем орошения|учебных материалов|кластеров хранения|\
    деревьев решений|цепочек поставок|голосовых записей|садовых планировок|наборов тестов|прогнозов бюджета|\
    дорожных карт продукта|сценариев урока|контрольных карт|столярных соединений|результатов опроса|\
    сетевых протоколов|цветовых палитр|кулинарных рецептов|клинических испытаний";
const RUSSIAN_CONTEXTS: &str = "при высокой нагрузке|в небольших командах|в пробном проекте|при скромном бюджете|\
    перед первым выпуском|после аварии|в повседневной практике|в нескольких отделах|при неполных данных|\
    при удалённой работе|для начинающего пользователя|на протяжении года|в государственном учреждении|\
    при смене требований|при нехватке оборудования|при передаче дел|на конкурентном рынке|\
    для смешанной аудитории|в конце квартала|в шумной обстановке|с участием добровольцев|на старом оборудовании|\
    перед внешней проверкой|на открытом воздухе|без особых инструментов|при долгом сопровождении|\
    в многоязычной группе|при нехватке времени|при общих ресурсах|в лаборатории|в крупном масштабе|\
    на мобильном устройстве|в сезонные пики|с новым поставщиком|для местного отделения|в семейном деле|\
    после слияния компаний|для выставки|в учебной мастерской|при автоматических проверках";
const RUSSIAN_SENTENCES: [&str; 6] = [
    "мы сравниваем {1} и {2}, а затем отмечаем, что из этого следует для выбора метода.",
    "разобранный случай показывает, как {1} зависят от ранних решений и как потом проверить {2}.",
    "слушатель собирает наблюдения, в которых видны {1}, упорядочивает их и объясняет итог коллеге.",
    "две команды по-разному учитывали {1}, и разница стала заметна, когда проявились {2}.",
    "короткая таблица помогает решить, какие {1} важны прежде всего, а какие могут подождать.",
    "задание завершается записью на одну страницу, где описаны {1} и проверены {2}.",
];
