//! The data of prompts, by reference: what a prompt shows is read, not taken.

/// Like `minijinja::context!`, but any serialisable value is taken by reference.
macro_rules! vars {
    ($($key:ident $(=> $value:expr)?),* $(, .. $base:expr)? $(,)?) => {
        minijinja::context! {
            $($key => $crate::vars::vars!(@value $key $(=> $value)?),)*
            $(.. $base)?
        }
    };
    (@value $key:ident) => { minijinja::Value::from(minijinja::value::Serde(&$key)) };
    (@value $key:ident => $value:expr) => { minijinja::Value::from(minijinja::value::Serde(&$value)) };
}
pub(crate) use vars;
