//! The one error of the API: a stable code, a message in the caller's language, details for programs.
//!
//! Nothing of the inside is told: causes go to the log, where the error is made.

use domain::error::{ErrorKind, InvalidInput};
use serde_json::{Value, json};
use store::error::StoreError;

use super::words::Text;

macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $status:literal, $rpc:ident, $en:literal, $ru:literal;)+) => {
        /// Every error that a caller can meet. The codes are stable; new ones may be added.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub(crate) enum ErrorCode {
            $($(#[$doc])* $variant,)+
        }

        impl ErrorCode {
            /// Every code.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant),+];

            /// The code on the wire.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// The HTTP status.
            pub(crate) const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)+ }
            }

            /// The class of the tRPC protocol that it belongs to.
            pub(crate) const fn rpc(self) -> RpcCode {
                match self { $(Self::$variant => RpcCode::$rpc,)+ }
            }

            /// What it means, for people.
            pub(crate) fn text(self) -> Text {
                let text = match self { $(Self::$variant => Text::new($en, $ru),)+ };
                // Existing front ends expect these very sentences (service 4.1).
                if matches!(self, Self::ConcurrencyLimit | Self::GenerationNotStarted) { text.fixed() } else { text }
            }
        }
    };
}

error_codes! {
    /// The request is not what its content type says.
    Malformed = "MALFORMED_REQUEST", 400, ParseError,
        "The request cannot be read.", "Запрос не удалось прочитать.";
    /// A field breaks a limit; the details name every such field.
    InvalidInput = "INVALID_INPUT", 400, BadRequest,
        "The input is not valid.", "Входные данные некорректны.";
    /// A file's name cannot be used.
    InvalidFileName = "INVALID_FILE_NAME", 400, BadRequest,
        "The file name is not allowed.", "Недопустимое имя файла.";
    /// A password is too easy to guess.
    WeakPassword = "WEAK_PASSWORD", 400, BadRequest,
        "The password is too weak.", "Пароль слишком простой.";
    /// The content is not base64.
    InvalidBase64 = "INVALID_BASE64", 400, BadRequest,
        "The content is not valid base64.", "Содержимое не является корректным base64.";
    /// The file does not have the size that was declared.
    FileSizeMismatch = "FILE_SIZE_MISMATCH", 400, BadRequest,
        "The file does not have the declared size.", "Размер файла не совпадает с заявленным.";
    /// There is nothing in the file.
    EmptyFile = "EMPTY_FILE", 400, BadRequest,
        "The file is empty.", "Файл пуст.";
    /// Nobody is signed in, or the token is not valid.
    Unauthenticated = "UNAUTHENTICATED", 401, Unauthorized,
        "Sign in first.", "Требуется вход в систему.";
    /// E-mail and password do not belong together.
    WrongCredentials = "WRONG_CREDENTIALS", 401, Unauthorized,
        "E-mail or password is wrong.", "Неверный адрес электронной почты или пароль.";
    /// The caller may see it but not do this.
    Forbidden = "FORBIDDEN", 403, Forbidden,
        "You are not allowed to do this.", "Недостаточно прав для этого действия.";
    /// The API key lacks the scope.
    InsufficientScope = "INSUFFICIENT_SCOPE", 403, Forbidden,
        "The API key does not allow this.", "Ключ API не разрешает это действие.";
    /// The tier allows no documents.
    FilesNotAllowed = "FILES_NOT_ALLOWED", 403, Forbidden,
        "Your tier does not include documents.", "Ваш тариф не включает загрузку документов.";
    /// The days of the organization's tier are over.
    TrialEnded = "TRIAL_ENDED", 403, Forbidden,
        "The trial period of your organization has ended. Courses can still be read, edited and exported.",
        "Пробный период вашей организации закончился. Курсы по-прежнему можно читать, редактировать и экспортировать.";
    /// There is no such thing, or the caller may not see it.
    NotFound = "NOT_FOUND", 404, NotFound,
        "There is no such thing.", "Не найдено.";
    /// There is no such procedure or address.
    UnknownProcedure = "UNKNOWN_PROCEDURE", 404, NotFound,
        "There is no such procedure.", "Такой процедуры нет.";
    /// The procedure is called with another method.
    MethodNotAllowed = "METHOD_NOT_ALLOWED", 405, MethodNotSupported,
        "This is called with another HTTP method.", "Используйте другой метод HTTP.";
    /// The request took longer than the server waits.
    Timeout = "TIMEOUT", 408, Timeout,
        "The request took too long.", "Запрос выполнялся слишком долго.";
    /// The present state does not allow it.
    Conflict = "CONFLICT", 409, Conflict,
        "The present state does not allow this.", "Текущее состояние не позволяет это сделать.";
    /// Nothing of the course's documents can be searched: there are none, or none was read yet.
    DocumentsNotRead = "DOCUMENTS_NOT_READ", 409, Conflict,
        "None of the course's documents has been read yet.", "Ни один документ курса ещё не прочитан.";
    /// A generation of the course is active.
    GenerationActive = "GENERATION_ACTIVE", 409, Conflict,
        "A generation of this course is already active.", "Генерация этого курса уже выполняется.";
    /// The first administrator exists already.
    SetupClosed = "SETUP_CLOSED", 409, Conflict,
        "The service is set up already.", "Сервис уже настроен.";
    /// The course has as many documents as the tier allows.
    TooManyFiles = "TOO_MANY_FILES", 409, Conflict,
        "The course has as many documents as your tier allows.",
        "Достигнуто максимальное количество документов для вашего тарифа.";
    /// An upload must say how long it is.
    LengthRequired = "LENGTH_REQUIRED", 411, BadRequest,
        "Say how long the file is: Content-Length is missing.",
        "Не указан размер файла: отсутствует заголовок Content-Length.";
    /// The course was changed since the caller read it.
    StaleRevision = "STALE_REVISION", 412, PreconditionFailed,
        "The course was changed meanwhile: read it again.",
        "Курс был изменён: загрузите его заново.";
    /// The generation has not completed yet.
    GenerationNotCompleted = "GENERATION_NOT_COMPLETED", 412, PreconditionFailed,
        "The generation is not completed yet.", "Генерация ещё не завершена.";
    /// The body is larger than the server takes.
    BodyTooLarge = "BODY_TOO_LARGE", 413, PayloadTooLarge,
        "The request is too large.", "Запрос слишком большой.";
    /// The file is larger than the tier allows.
    FileTooLarge = "FILE_TOO_LARGE", 413, PayloadTooLarge,
        "The file is larger than your tier allows.", "Файл больше, чем допускает ваш тариф.";
    /// The organization's storage is full.
    StorageQuotaExceeded = "STORAGE_QUOTA_EXCEEDED", 413, PayloadTooLarge,
        "The storage of your organization is full.", "Хранилище вашей организации заполнено.";
    /// The body has a content type that the procedure does not take.
    UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE", 415, UnsupportedMediaType,
        "Send the request as application/json.", "Отправьте запрос как application/json.";
    /// The tier does not allow this type of file.
    FileTypeNotAllowed = "FILE_TYPE_NOT_ALLOWED", 415, UnsupportedMediaType,
        "Your tier does not include this type of file.", "Ваш тариф не допускает файлы этого типа.";
    /// The bytes are not of the declared type.
    FileContentMismatch = "FILE_CONTENT_MISMATCH", 415, UnsupportedMediaType,
        "The file is not of the declared type.", "Содержимое файла не соответствует заявленному типу.";
    /// The office document would swell when unpacked, is encrypted, or reaches outside of itself.
    UnsafeArchive = "UNSAFE_ARCHIVE", 415, UnsupportedMediaType,
        "The file is not safe to unpack.", "Файл небезопасно распаковывать.";
    /// As many generations are active as the tier or the installation allows.
    ConcurrencyLimit = "CONCURRENCY_LIMIT", 429, TooManyRequests,
        "The limit of simultaneous generations of your tier is reached",
        "Превышен лимит одновременных генераций для вашего тарифа";
    /// Too many requests of this kind in a short time.
    RateLimited = "RATE_LIMITED", 429, TooManyRequests,
        "Too many requests: try again later.", "Слишком много запросов: попробуйте позже.";
    /// A fault of ours.
    Internal = "INTERNAL_ERROR", 500, InternalServerError,
        "Something went wrong on the server.", "Произошла внутренняя ошибка сервера.";
    /// All tries to start a generation have failed; nothing of it remains.
    GenerationNotStarted = "GENERATION_NOT_STARTED", 500, InternalServerError,
        "The generation of the course could not be started. Try again later.",
        "Не удалось инициализировать генерацию курса. Попробуйте позже.";
    /// The database or another service does not answer.
    Unavailable = "SERVICE_UNAVAILABLE", 503, ServiceUnavailable,
        "The service does not answer at the moment: try again.",
        "Сервис временно недоступен: попробуйте ещё раз.";
}

macro_rules! rpc_codes {
    ($($variant:ident = $name:literal, $number:literal;)+) => {
        /// The classes of errors of the tRPC protocol (@trpc/server 11, `TRPC_ERROR_CODES_BY_KEY`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum RpcCode {
            $($variant,)+
        }

        impl RpcCode {
            /// The name in `error.data.code`.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The JSON-RPC number in `error.code`.
            pub(crate) const fn number(self) -> i32 {
                match self { $(Self::$variant => $number,)+ }
            }
        }
    };
}

rpc_codes! {
    ParseError = "PARSE_ERROR", -32700;
    BadRequest = "BAD_REQUEST", -32600;
    InternalServerError = "INTERNAL_SERVER_ERROR", -32603;
    ServiceUnavailable = "SERVICE_UNAVAILABLE", -32603;
    Unauthorized = "UNAUTHORIZED", -32001;
    Forbidden = "FORBIDDEN", -32003;
    NotFound = "NOT_FOUND", -32004;
    MethodNotSupported = "METHOD_NOT_SUPPORTED", -32005;
    Timeout = "TIMEOUT", -32008;
    Conflict = "CONFLICT", -32009;
    PreconditionFailed = "PRECONDITION_FAILED", -32012;
    PayloadTooLarge = "PAYLOAD_TOO_LARGE", -32013;
    UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE", -32015;
    TooManyRequests = "TOO_MANY_REQUESTS", -32029;
}

/// An error for the caller.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ApiError {
    /// What happened.
    pub(crate) code: ErrorCode,
    /// The same for people.
    pub(crate) text: Text,
    /// Anything else for programs, as an object. Never of the inside.
    pub(crate) details: Option<Box<Value>>,
    /// After how many seconds trying again makes sense.
    pub(crate) retry_after_secs: Option<u32>,
}

/// One field that breaks a limit, as it stands in `details.fields`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FieldError {
    /// The field as the wire names it, for example `learningOutcomes[2]`; empty: the whole input.
    pub(crate) field: String,
    /// The limit and the value, as a sentence.
    pub(crate) message: String,
    /// The rule of the schema, for example `maxLength`.
    pub(crate) rule: Option<String>,
    /// The limit.
    pub(crate) limit: Option<Value>,
    /// The value, where it is short.
    pub(crate) value: Option<Value>,
}

impl ApiError {
    /// The error with its usual message.
    pub(crate) fn new(code: ErrorCode) -> Self {
        Self {
            code,
            text: code.text(),
            details: None,
            retry_after_secs: None,
        }
    }

    /// With another message.
    #[must_use]
    pub(crate) fn says(mut self, text: Text) -> Self {
        self.text = text;
        self
    }

    /// With details for programs.
    #[must_use]
    pub(crate) fn with(mut self, details: Value) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    /// With the time after which trying again makes sense.
    #[must_use]
    pub(crate) fn retry_after(mut self, secs: u32) -> Self {
        self.retry_after_secs = Some(secs);
        self
    }

    /// Input that breaks limits; the message tells of the first field, the details of all.
    pub(crate) fn invalid(fields: &[FieldError]) -> Self {
        let error = Self::new(ErrorCode::InvalidInput);
        let Some(first) = fields.first() else { return error };
        let first = match first.field.as_str() {
            "" => first.message.clone(),
            field => format!("{field}: {}", first.message),
        };
        let text = Text::new(
            format!("The input is not valid. {first}"),
            format!("Входные данные некорректны. {first}"),
        );
        let fields: Vec<_> = fields.iter().map(FieldError::to_json).collect();
        error.says(text).with(json!({ "fields": fields }))
    }

    /// One field that breaks a rule which no schema can tell.
    pub(crate) fn field(field: &str, message: impl Into<String>) -> Self {
        Self::invalid(&[FieldError {
            field: field.to_owned(),
            message: message.into(),
            rule: None,
            limit: None,
            value: None,
        }])
    }

    /// A fault of ours: the cause is logged here and told to nobody.
    pub(crate) fn internal(cause: &dyn std::error::Error) -> Self {
        tracing::error!(error = %chain(cause), "a request failed");
        Self::new(ErrorCode::Internal)
    }

    /// Whether it is the server's fault, so that somebody must act.
    pub(crate) const fn is_fault(&self) -> bool {
        self.code.status() >= 500
    }
}

impl FieldError {
    fn to_json(&self) -> Value {
        let mut json = json!({ "field": self.field, "message": self.message });
        for (name, value) in [
            ("rule", self.rule.clone().map(Value::String)),
            ("limit", self.limit.clone()),
            ("value", self.value.clone()),
        ] {
            if let Some(value) = value {
                json[name] = value;
            }
        }
        json
    }
}

impl From<Vec<InvalidInput>> for ApiError {
    fn from(errors: Vec<InvalidInput>) -> Self {
        let fields: Vec<_> = errors
            .into_iter()
            .map(|error| FieldError {
                field: super::words::camel_case(&error.field),
                message: error.message,
                rule: None,
                limit: None,
                value: None,
            })
            .collect();
        Self::invalid(&fields)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::NotFound { what, .. } => {
                return Self::new(ErrorCode::NotFound).with(json!({ "what": what }));
            }
            StoreError::Stale { expected, found } => {
                return Self::new(ErrorCode::StaleRevision)
                    .with(json!({ "expectedRevision": expected, "revision": found }));
            }
            StoreError::TooManyGenerations { .. } => return limit_hit(&error),
            StoreError::TierEnded { tier, ended_at } => {
                return Self::new(ErrorCode::TrialEnded).with(json!({ "tier": tier, "endedAt": ended_at }));
            }
            StoreError::QuotaExceeded { used, limit, size } => {
                return Self::new(ErrorCode::StorageQuotaExceeded)
                    .with(json!({ "used": used, "limit": limit, "size": size }));
            }
            StoreError::TooManyFiles { current, limit } => {
                return Self::new(ErrorCode::TooManyFiles)
                    .with(json!({ "current": current, "limit": limit }));
            }
            _ => {}
        }
        match error.kind() {
            ErrorKind::NotFound => Self::new(ErrorCode::NotFound),
            ErrorKind::Invalid => Self::field("", error.to_string()),
            ErrorKind::Forbidden => Self::new(ErrorCode::Forbidden),
            ErrorKind::Conflict => Self::new(ErrorCode::Conflict),
            ErrorKind::LimitReached => limit_hit(&error),
            ErrorKind::Unavailable => {
                tracing::warn!(error = %chain(&error), "the database does not answer");
                Self::new(ErrorCode::Unavailable).retry_after(RETRY_UNAVAILABLE_SECS)
            }
            ErrorKind::Setup | ErrorKind::Model | ErrorKind::Cancelled | ErrorKind::Internal => {
                Self::internal(&error)
            }
        }
    }
}

/// After so many seconds one of the active generations may have ended: some take minutes, so sooner asks in vain.
const RETRY_LIMIT_SECS: u32 = 30;

/// The limit of generations (service 4.3): the names of the details are those that existing front ends read.
fn limit_hit(error: &StoreError) -> ApiError {
    let limit = ApiError::new(ErrorCode::ConcurrencyLimit).retry_after(RETRY_LIMIT_SECS);
    let StoreError::TooManyGenerations {
        tier,
        user_limit,
        current_user_jobs,
        global_limit,
        global_active_jobs,
    } = error
    else {
        return limit;
    };
    let mut details =
        json!({ "tier": tier, "user_limit": user_limit, "current_user_jobs": current_user_jobs });
    if let (Some(most), Some(active)) = (global_limit, global_active_jobs) {
        details["global_limit"] = json!(most);
        details["global_active_jobs"] = json!(active);
    }
    limit.with(details)
}

/// After so many seconds a database that did not answer may do so again.
const RETRY_UNAVAILABLE_SECS: u32 = 2;

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
