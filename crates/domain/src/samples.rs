//! Small complete courses that keep every rule, for tests: change one thing and see what is found.

use crate::analysis::AnalysisResult;
use crate::language::Language;
use crate::lesson::{
    ContentBlock, LessonContent, LessonQuality, LessonStatus, QuestionType, QuizQuestion, WorkedExample,
    WorkedExercise,
};
use crate::structure::{
    AssessmentStrategy, CourseStructure, DifficultyLevel, Exercise, ExerciseType, Lesson, Section,
};

/// A lesson as title, objectives, key topics.
type Row = (&'static str, [&'static str; 2], [&'static str; 3]);

struct Texts {
    title: &'static str,
    description: &'static str,
    overview: &'static str,
    audience: &'static str,
    prerequisites: &'static [&'static str],
    outcomes: &'static [&'static str],
    assessment: &'static str,
    tags: &'static [&'static str],
    sections: &'static [(&'static str, &'static str, &'static str, [Row; 4])],
    exercises: [(ExerciseType, &'static str, &'static str); 3],
}

const ENGLISH: Texts = Texts {
    title: "Practical SQL for Analysts",
    description: "Learn to ask a database precise questions and to trust the answers: from the first query to reports that a team relies on.",
    overview: "Twelve lessons lead from single tables to joins, grouping and careful changes of data. Every lesson ends with queries that the learner writes on a small shop database, and every section with a review of typical mistakes.",
    audience: "Analysts and product managers who export spreadsheets today and want to ask the database directly.",
    prerequisites: &["Comfortable work with spreadsheets and simple formulas"],
    outcomes: &[
        "Write queries that filter, sort and summarise one table",
        "Combine several tables with joins and check the row counts",
        "Change data safely inside a transaction and undo mistakes",
    ],
    assessment: "Each section closes with a quiz; a final project answers five business questions on a database the learner has not seen.",
    tags: &["sql", "databases", "data analysis", "reporting", "postgresql"],
    sections: &[
        (
            "Questions to one table",
            "Reading rows and columns of a single table: selection, filters, order and limits.",
            "Write queries against a single table and explain their results",
            [
                (
                    "Rows, columns and keys",
                    [
                        "Describe how a table stores rows and columns",
                        "Identify the primary key of a table",
                    ],
                    [
                        "Tables as sets of rows",
                        "Column types of a shop",
                        "Primary keys in practice",
                    ],
                ),
                (
                    "Choosing columns with SELECT",
                    [
                        "Write a query that returns chosen columns",
                        "Explain the order in which clauses are read",
                    ],
                    ["The SELECT list", "Column aliases", "Computed columns"],
                ),
                (
                    "Filtering with WHERE",
                    [
                        "Apply comparison operators to filter rows",
                        "Predict the result of a filter with NULL",
                    ],
                    [
                        "Comparison operators",
                        "AND, OR and brackets",
                        "NULL and unknown results",
                    ],
                ),
                (
                    "Sorting and limiting results",
                    [
                        "Sort results by more than one column",
                        "Compare two ways to page through results",
                    ],
                    ["ORDER BY with ties", "LIMIT and OFFSET", "Keyset paging"],
                ),
            ],
        ),
        (
            "Questions to several tables",
            "Joining tables, counting and grouping without losing or doubling rows.",
            "Analyze data from several tables and check the row counts",
            [
                (
                    "Inner joins step by step",
                    [
                        "Join two tables on a foreign key",
                        "Explain which rows an inner join drops",
                    ],
                    ["Foreign keys of orders", "Join conditions", "Rows lost by joins"],
                ),
                (
                    "Outer joins and missing rows",
                    [
                        "Choose between inner and outer joins",
                        "Diagnose rows that a join has doubled",
                    ],
                    ["LEFT JOIN for reports", "Finding orphans", "Doubled rows"],
                ),
                (
                    "Counting and grouping",
                    [
                        "Calculate counts and sums for groups",
                        "Distinguish filters before and after grouping",
                    ],
                    [
                        "GROUP BY columns",
                        "HAVING against WHERE",
                        "Counting distinct values",
                    ],
                ),
                (
                    "Questions inside questions",
                    [
                        "Analyze a question into subqueries",
                        "Evaluate a subquery against a join",
                    ],
                    [
                        "Scalar subqueries",
                        "Common table expressions",
                        "EXISTS conditions",
                    ],
                ),
            ],
        ),
        (
            "Changing data with care",
            "Inserting, updating and deleting rows inside transactions that can be undone.",
            "Design changes of data that can be checked and undone",
            [
                (
                    "Inserting and updating rows",
                    [
                        "Construct an update that touches only chosen rows",
                        "Verify a change before it is kept",
                    ],
                    [
                        "INSERT with defaults",
                        "UPDATE with conditions",
                        "Returning changed rows",
                    ],
                ),
                (
                    "Transactions and undo",
                    [
                        "Justify the use of a transaction for a change",
                        "Design a rollback for a failed change",
                    ],
                    [
                        "BEGIN and COMMIT",
                        "ROLLBACK after mistakes",
                        "Locks that others feel",
                    ],
                ),
                (
                    "Views for colleagues",
                    [
                        "Create a view that answers a recurring question",
                        "Assess which columns a view should hide",
                    ],
                    [
                        "Views as named queries",
                        "Hiding personal data",
                        "Materialized views",
                    ],
                ),
                (
                    "A report from start to end",
                    [
                        "Design a report that answers a business question",
                        "Defend the numbers of a report",
                    ],
                    [
                        "From question to query",
                        "Checking totals",
                        "Documenting a report",
                    ],
                ),
            ],
        ),
    ],
    exercises: [
        (
            ExerciseType::HandsOn,
            "Write the query",
            "Write the query on the shop database and note how many rows it returns.",
        ),
        (
            ExerciseType::CaseStudy,
            "Find the fault",
            "Read the query of a colleague, find the fault and explain its effect on the report.",
        ),
        (
            ExerciseType::SelfAssessment,
            "Check yourself",
            "Answer three questions on the topic without notes and compare with the solution.",
        ),
    ],
};

const RUSSIAN: Texts = Texts {
    title: "Основы SQL для аналитиков",
    description: "Курс учит задавать базе данных точные вопросы и доверять ответам: от первого запроса до отчётов, на которые опирается команда.",
    overview: "Двенадцать уроков ведут от одной таблицы к соединениям, группировке и осторожным изменениям данных. Каждый урок заканчивается запросами к учебной базе магазина, а каждый раздел разбором типичных ошибок.",
    audience: "Аналитики и менеджеры продуктов, которые сегодня выгружают таблицы и хотят обращаться к базе напрямую.",
    prerequisites: &["Уверенная работа с электронными таблицами и простыми формулами"],
    outcomes: &[
        "Составлять запросы с отбором, сортировкой и сводкой по одной таблице",
        "Соединять несколько таблиц и проверять количество строк результата",
        "Безопасно изменять данные внутри транзакции и отменять ошибки",
    ],
    assessment: "Каждый раздел завершается тестом; итоговый проект отвечает на пять вопросов бизнеса по незнакомой базе данных.",
    tags: &["sql", "базы данных", "анализ данных", "отчётность", "postgresql"],
    sections: &[
        (
            "Вопросы к одной таблице",
            "Чтение строк и столбцов одной таблицы: выбор, отбор, порядок и ограничение.",
            "Составить запросы к одной таблице и объяснить их результат",
            [
                (
                    "Строки, столбцы и ключи",
                    [
                        "Описать, как таблица хранит строки и столбцы",
                        "Определить первичный ключ таблицы заказов",
                    ],
                    [
                        "Таблица как множество строк",
                        "Типы столбцов магазина",
                        "Первичные ключи на практике",
                    ],
                ),
                (
                    "Выбор столбцов командой SELECT",
                    [
                        "Написать запрос, который возвращает нужные столбцы",
                        "Объяснить порядок чтения частей запроса",
                    ],
                    [
                        "Список выбора SELECT",
                        "Псевдонимы столбцов",
                        "Вычисляемые столбцы",
                    ],
                ),
                (
                    "Отбор строк условием WHERE",
                    [
                        "Применить операторы сравнения для отбора строк",
                        "Предсказать результат отбора со значением NULL",
                    ],
                    [
                        "Операторы сравнения",
                        "Связки AND, OR и скобки",
                        "NULL и неизвестный результат",
                    ],
                ),
                (
                    "Сортировка и ограничение",
                    [
                        "Отсортировать результат по нескольким столбцам",
                        "Сравнить два способа разбивки на страницы",
                    ],
                    [
                        "ORDER BY при равных значениях",
                        "Команды LIMIT и OFFSET",
                        "Разбивка по ключу",
                    ],
                ),
            ],
        ),
        (
            "Вопросы к нескольким таблицам",
            "Соединение таблиц, подсчёт и группировка без потери и удвоения строк.",
            "Проанализировать данные нескольких таблиц и проверить количество строк",
            [
                (
                    "Внутреннее соединение по шагам",
                    [
                        "Соединить две таблицы по внешнему ключу",
                        "Объяснить, какие строки теряет внутреннее соединение",
                    ],
                    ["Внешние ключи заказов", "Условия соединения", "Потерянные строки"],
                ),
                (
                    "Внешние соединения",
                    [
                        "Обосновать выбор внешнего соединения для отчёта",
                        "Выявить строки, которые удвоило соединение",
                    ],
                    [
                        "LEFT JOIN для отчётов",
                        "Поиск строк без пары",
                        "Удвоенные строки",
                    ],
                ),
                (
                    "Подсчёт и группировка",
                    [
                        "Рассчитать количества и суммы по группам",
                        "Различить отбор до группировки и после неё",
                    ],
                    [
                        "Столбцы GROUP BY",
                        "HAVING против WHERE",
                        "Подсчёт различных значений",
                    ],
                ),
                (
                    "Запросы внутри запросов",
                    [
                        "Разложить вопрос на вложенные запросы",
                        "Оценить вложенный запрос в сравнении с соединением",
                    ],
                    [
                        "Скалярные подзапросы",
                        "Общие табличные выражения",
                        "Условия EXISTS",
                    ],
                ),
            ],
        ),
        (
            "Осторожное изменение данных",
            "Добавление, изменение и удаление строк внутри транзакций, которые можно отменить.",
            "Спроектировать изменения данных, которые можно проверить и отменить",
            [
                (
                    "Добавление и изменение строк",
                    [
                        "Сконструировать изменение, которое затрагивает только выбранные строки",
                        "Проверить изменение до его сохранения",
                    ],
                    [
                        "INSERT со значениями по умолчанию",
                        "UPDATE с условием",
                        "Возврат изменённых строк",
                    ],
                ),
                (
                    "Транзакции и отмена",
                    [
                        "Обосновать применение транзакции для изменения",
                        "Спроектировать откат неудачного изменения",
                    ],
                    [
                        "Команды BEGIN и COMMIT",
                        "ROLLBACK после ошибки",
                        "Блокировки, заметные другим",
                    ],
                ),
                (
                    "Представления для коллег",
                    [
                        "Создать представление для повторяющегося вопроса",
                        "Оценить, какие столбцы представление должно скрыть",
                    ],
                    [
                        "Представление как именованный запрос",
                        "Сокрытие личных данных",
                        "Материализованные представления",
                    ],
                ),
                (
                    "Отчёт от начала до конца",
                    [
                        "Спроектировать отчёт, отвечающий на вопрос бизнеса",
                        "Защитить числа отчёта перед коллегами",
                    ],
                    ["От вопроса к запросу", "Проверка итогов", "Описание отчёта"],
                ),
            ],
        ),
    ],
    exercises: [
        (
            ExerciseType::HandsOn,
            "Напишите запрос",
            "Напишите запрос к учебной базе магазина и запишите, сколько строк он вернул.",
        ),
        (
            ExerciseType::CaseStudy,
            "Найдите ошибку",
            "Прочитайте запрос коллеги, найдите ошибку и объясните, как она меняет отчёт.",
        ),
        (
            ExerciseType::SelfAssessment,
            "Проверьте себя",
            "Ответьте на три вопроса по теме без записей и сравните ответы с решением.",
        ),
    ],
};

/// A course of 3 sections and 12 lessons in English or Russian (any other language gives the English one) without a
/// single error or warning.
pub fn course(language: Language) -> CourseStructure {
    let texts = match language {
        Language::Russian => &RUSSIAN,
        _ => &ENGLISH,
    };
    let mut course = CourseStructure {
        course_title: texts.title.to_owned(),
        course_description: texts.description.to_owned(),
        course_overview: texts.overview.to_owned(),
        target_audience: texts.audience.to_owned(),
        estimated_duration_hours: 0.0,
        difficulty_level: DifficultyLevel::Beginner,
        prerequisites: owned(texts.prerequisites),
        learning_outcomes: owned(texts.outcomes),
        assessment_strategy: AssessmentStrategy {
            quiz_per_section: true,
            final_exam: false,
            practical_projects: 1,
            assessment_description: texts.assessment.to_owned(),
        },
        course_tags: owned(texts.tags),
        sections: texts
            .sections
            .iter()
            .map(|section| self::section(texts, section))
            .collect(),
    };
    course.renumber();
    course
}

fn section(texts: &Texts, row: &(&str, &str, &str, [Row; 4])) -> Section {
    let (title, description, objective, lessons) = row;
    Section {
        section_number: 0,
        section_title: (*title).to_owned(),
        section_description: (*description).to_owned(),
        learning_objectives: vec![(*objective).to_owned()],
        estimated_duration_minutes: 0,
        lessons: lessons
            .iter()
            .map(|(title, objectives, topics)| Lesson {
                lesson_number: 0,
                lesson_title: (*title).to_owned(),
                lesson_objectives: owned(objectives),
                key_topics: owned(topics),
                estimated_duration_minutes: 15,
                practical_exercises: texts
                    .exercises
                    .iter()
                    .map(|(exercise_type, title, description)| Exercise {
                        exercise_type: *exercise_type,
                        exercise_title: (*title).to_owned(),
                        exercise_description: (*description).to_owned(),
                    })
                    .collect(),
            })
            .collect(),
    }
}

/// A text for the first lesson of [`course`] in English: no errors, and a warning that it is short for its minutes.
pub fn lesson_content() -> LessonContent {
    let block = |title: &str, body: &str| ContentBlock {
        title: title.to_owned(),
        body: body.to_owned(),
        citations: Vec::new(),
    };
    let question = |question: &str, options: [&str; 3], answer: u32, objective: u32| QuizQuestion {
        question_type: QuestionType::SingleChoice,
        question: question.to_owned(),
        options: owned(&options),
        correct_answers: vec![answer],
        explanation: "The block on this topic shows it with the table of customers.".to_owned(),
        objective,
    };
    let mut content = LessonContent {
        introduction: "Every report begins in a table. Once you can say what a row stands for, the rest of SQL is a way of choosing rows.".to_owned(),
        blocks: vec![
            block(
                "Tables as sets of rows",
                "A table is a set of rows that all have the same columns. Each row stands for one thing of the world: one customer, one order, one payment. The rows have no order of their own, so a result without a sort may come back in any sequence.",
            ),
            block(
                "Column types of the shop",
                "Each column has a type that says which values fit. In our shop the price is a decimal number, the date of an order is a timestamp, and the name of a customer is text. The type protects you from a price such as `twelve`.",
            ),
            block(
                "Primary keys in practice",
                "A primary key is a column whose value names exactly one row. In practice most tables carry a number that the database counts up itself. Two customers may share a name, but never a key, and other tables refer to that key.",
            ),
        ],
        examples: vec![WorkedExample {
            title: "Reading one row".to_owned(),
            body: "The query below asks for the customer with key 7 and returns a single row, since keys are unique.\n\n```sql\nSELECT name FROM customers WHERE id = 7;\n```".to_owned(),
        }],
        exercises: ENGLISH
            .exercises
            .iter()
            .map(|(exercise_type, title, description)| WorkedExercise {
                exercise_type: *exercise_type,
                title: (*title).to_owned(),
                instructions: (*description).to_owned(),
                hints: vec!["Look at the keys first.".to_owned()],
                solution: "A full answer names the table, the key and the number of rows.".to_owned(),
            })
            .collect(),
        quiz: vec![
            question("What does one row of the table orders stand for?", ["One order", "One column", "One shop"], 0, 0),
            question("Which order do rows have?", ["That of their keys", "None of their own", "That of insertion"], 1, 0),
            question("What is true of a primary key?", ["It may repeat", "It may be empty", "It names one row"], 2, 1),
        ],
        summary: "Rows stand for things, columns for their properties, and the primary key tells one thing from another.".to_owned(),
        further_reading: Vec::new(),
        word_count: 0,
        quality: LessonQuality::default(),
        status: LessonStatus::Completed,
    };
    content.word_count = content.count_words();
    content
}

/// An analysis in English that fits [`course`] and keeps every rule.
///
/// # Panics
/// Never: the text is part of the program and a test reads it.
#[expect(clippy::expect_used, reason = "a constant that a test reads")]
pub fn analysis() -> AnalysisResult {
    serde_json::from_str(include_str!("samples/analysis.json")).expect("the sample analysis is valid JSON")
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
