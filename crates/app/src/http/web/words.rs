//! What the pages say, in every language that is spoken here.

use crate::procedures::words::Speech;

macro_rules! words {
    ($($name:ident: $en:literal, $ru:literal;)+) => {
        /// The words of the pages in one language. In sentences, `{}` stands for what is told.
        pub(super) struct Words {
            /// The language.
            pub(super) speech: Speech,
            /// Its tag.
            pub(super) language: &'static str,
            $(pub(super) $name: &'static str,)+
        }

        static ENGLISH: Words = Words { speech: Speech::English, language: "en", $($name: $en,)+ };
        static RUSSIAN: Words = Words { speech: Speech::Russian, language: "ru", $($name: $ru,)+ };

        #[cfg(test)]
        const PAIRS: &[(&str, &str, &str)] = &[$((stringify!($name), $en, $ru)),+];
    };
}

words! {
    skip: "Skip to the content", "К содержанию";
    sign_in: "Sign in", "Вход";
    sign_in_intro: "With the address and password of your account.", "По адресу и паролю вашей учётной записи.";
    email: "E-mail", "Электронная почта";
    password: "Password", "Пароль";
    sign_in_button: "Sign in", "Войти";
    sign_out: "Sign out", "Выйти";
    signed_in_as: "Signed in as", "Вы вошли как";
    fault_title: "That did not work", "Не получилось";
    fault_request: "Number of the request, for the log:", "Номер запроса для журнала:";
    fault_back: "Back to the board", "Вернуться к заданиям";
    board: "Jobs", "Задания";
    documentation: "API", "API";
    waiting: "Waiting", "Ожидают";
    running: "Running", "Выполняются";
    dead: "Given up, 24 h", "Не удались, 24 ч";
    succeeded: "Done, 24 h", "Готовы, 24 ч";
    cancelled: "Cancelled, 24 h", "Отменены, 24 ч";
    queues: "Queues", "Очереди";
    queues_caption: "Jobs by tier and stage", "Задания по тарифам и этапам";
    queues_empty: "Nothing waits or runs, and nothing has ended within a day.",
        "Ничего не ожидает и не выполняется, и за сутки ничего не закончилось.";
    tier: "Tier", "Тариф";
    stage: "Stage", "Этап";
    oldest: "Waits longest", "Дольше всех ждёт";
    oldest_for: "the first for {}", "первое — {}";
    state: "State", "Состояние";
    all_states: "All states", "Все состояния";
    all_stages: "All stages", "Все этапы";
    all_tiers: "All tiers", "Все тарифы";
    show: "Show", "Показать";
    refresh: "Refresh", "Обновить";
    only_course: "Only this course", "Только этот курс";
    only_organization: "Only this organization", "Только эта организация";
    drop_filter: "Show all again", "Снова показать все";
    jobs_empty: "There are no such jobs.", "Таких заданий нет.";
    newer: "Newest jobs", "Новейшие задания";
    older: "Older jobs", "Более ранние задания";
    updated: "As of {}", "По состоянию на {}";
    attempt: "attempt {} of {}", "попытка {} из {}";
    never_ran: "has not run yet", "ещё не запускалось";
    waits_for: "waits for {}", "ожидает {}";
    starts_in: "starts in {}", "начнётся через {}";
    runs_for: "runs for {}", "выполняется {}";
    ended_ago: "ended {} ago", "закончено {} назад";
    took: "took {}", "заняло {}";
    being_cancelled: "is being cancelled", "отменяется";
    retry: "Try again", "Повторить";
    run_now: "Run now", "Запустить сейчас";
    promote: "Start next", "Без очереди";
    cancel: "Cancel", "Отменить";
    cancel_ask: "The generation of the course stops. What is done is kept, and it can be tried again.",
        "Генерация курса остановится. Сделанное сохранится, и её можно будет продолжить.";
    cancel_sure: "Cancel the generation", "Отменить генерацию";
    done_retried: "The job is tried again.", "Задание запущено снова.";
    done_promoted: "The job starts next.", "Задание запустится следующим.";
    done_cancelled: "The generation is cancelled.", "Генерация отменена.";
    done_requested: "The generation is being cancelled: its worker stops within two seconds.",
        "Генерация отменяется: обработчик остановится в течение двух секунд.";
    done_already_ended: "No generation was active.", "Активной генерации не было.";
    error: "Error of the latest attempt", "Ошибка последней попытки";
    facts: "The job", "Задание";
    payload: "What it works on", "Над чем работает";
    course: "Course", "Курс";
    course_jobs: "all its jobs", "все его задания";
    organization: "Organization", "Организация";
    user: "Asked for by", "Кто запустил";
    job_id: "Job", "Задание";
    generation: "Generation", "Генерация";
    priority: "Priority", "Приоритет";
    attempts: "Attempts", "Попытки";
    attempts_of: "{} of {}", "{} из {}";
    worker: "Worker", "Обработчик";
    lease_until: "Held until", "Закреплено до";
    created: "Enqueued", "Поставлено в очередь";
    run_at: "Not before", "Не раньше";
    started: "Latest attempt began", "Начало последней попытки";
    finished: "Ended", "Закончено";
    generation_status: "Generation stands at", "Состояние генерации";
    scope: "Makes", "Создаёт";
    scope_whole: "the whole course", "курс целиком";
    scope_section: "section {} anew", "раздел {} заново";
    scope_lesson: "lesson {} anew", "урок {} заново";
    instruction: "With the wish", "Пожелание";
    budget: "Budget, USD", "Бюджет, долл. США";
    title: "Title", "Название";
    language_of_course: "Language", "Язык";
    style: "Style", "Стиль";
    audience: "For whom", "Для кого";
    lessons_wished: "Lessons wished", "Желаемое число уроков";
    sections_wished: "Sections wished", "Желаемое число разделов";
    lesson_minutes: "Minutes of a lesson", "Минут в уроке";
    outcomes: "Learning outcomes", "Результаты обучения";
    strategy: "Strategy", "Стратегия";
    review: "Pauses for review", "Пауза для проверки";
    yes: "yes", "да";
    no: "no", "нет";
    seconds: "s", "с";
    minutes: "min", "мин";
    hours: "h", "ч";
    days: "d", "д";
    state_pending: "Waiting", "Ожидает";
    state_running: "Running", "Выполняется";
    state_succeeded: "Done", "Готово";
    state_dead: "Given up", "Не удалось";
    state_cancelled: "Cancelled", "Отменено";
    stage_document_processing: "Documents", "Документы";
    stage_analysis: "Analysis", "Анализ";
    stage_structure: "Structure", "Структура";
    stage_content: "Lessons", "Уроки";
    stage_finalization: "Finalisation", "Финализация";
    tier_trial: "Trial", "Пробный";
    tier_free: "Free", "Бесплатный";
    tier_basic: "Basic", "Базовый";
    tier_standard: "Standard", "Стандартный";
    tier_premium: "Premium", "Премиум";
    role_student: "student", "учащийся";
    role_instructor: "instructor", "преподаватель";
    role_admin: "admin", "администратор";
    role_superadmin: "superadmin", "суперадминистратор";
}

impl Words {
    /// The words of a language; English where the reader named none that is spoken here.
    pub(super) const fn of(speech: Speech) -> &'static Self {
        match speech {
            Speech::Russian => &RUSSIAN,
            Speech::English | Speech::Unsaid => &ENGLISH,
        }
    }

    /// A state of a job. What is not known by its name is shown by it: newer states than these pages, that is.
    pub(super) fn state<'a>(&self, name: &'a str) -> &'a str {
        match name {
            "pending" => self.state_pending,
            "running" => self.state_running,
            "succeeded" => self.state_succeeded,
            "dead" => self.state_dead,
            "cancelled" => self.state_cancelled,
            other => other,
        }
    }

    /// A stage; likewise.
    pub(super) fn stage<'a>(&self, name: &'a str) -> &'a str {
        match name {
            "document_processing" => self.stage_document_processing,
            "analysis" => self.stage_analysis,
            "structure" => self.stage_structure,
            "content" => self.stage_content,
            "finalization" => self.stage_finalization,
            other => other,
        }
    }

    /// A tier; likewise.
    pub(super) fn tier<'a>(&self, name: &'a str) -> &'a str {
        match name {
            "trial" => self.tier_trial,
            "free" => self.tier_free,
            "basic" => self.tier_basic,
            "standard" => self.tier_standard,
            "premium" => self.tier_premium,
            other => other,
        }
    }

    /// A role; likewise.
    pub(super) fn role<'a>(&self, name: &'a str) -> &'a str {
        match name {
            "student" => self.role_student,
            "instructor" => self.role_instructor,
            "admin" => self.role_admin,
            "superadmin" => self.role_superadmin,
            other => other,
        }
    }
}

/// A sentence with what it tells, in the order of its gaps.
pub(super) fn fill(sentence: &str, told: &[&str]) -> String {
    let mut text = String::with_capacity(sentence.len() + 16);
    let mut told = told.iter();
    let mut parts = sentence.split("{}");
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        text.push_str(told.next().copied().unwrap_or_default());
        text.push_str(part);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_languages_tell_the_same_things() {
        for (name, en, ru) in PAIRS {
            assert_eq!(en.matches("{}").count(), ru.matches("{}").count(), "{name}");
            assert!(!en.is_empty() && !ru.is_empty(), "{name}");
        }
        assert_eq!(fill("attempt {} of {}", &["2", "3"]), "attempt 2 of 3");
        assert_eq!(Words::of(Speech::Unsaid).language, "en");
    }

    #[test]
    fn every_state_stage_tier_and_role_has_a_word() {
        let words = Words::of(Speech::Russian);
        let check = |name: &str, word: &str| assert_ne!(name, word);
        for state in store::job::JobState::ALL {
            check(state.as_str(), words.state(state.as_str()));
        }
        for stage in domain::stage::Stage::ALL {
            check(stage.as_str(), words.stage(stage.as_str()));
        }
        for tier in domain::organization::Tier::ALL {
            check(tier.as_str(), words.tier(tier.as_str()));
        }
    }
}
