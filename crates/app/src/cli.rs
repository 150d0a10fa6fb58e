//! The command line. One file a command below `cli/`.

mod api;
mod api_key;
mod ask;
mod bench;
mod completions;
mod confine;
mod create;
mod doctor;
mod documents;
mod export;
mod extract;
mod list;
mod local_files;
mod local_server;
mod models;
mod organization;
mod output;
mod providers;
mod question;
mod regenerate;
mod resume;
mod run;
mod schema;
mod scripted_server;
mod serve;
mod summary;
mod table;
mod token;
mod user;
mod worker;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Environment, Flags};
use crate::failure::{Exit, Failure};

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    something failed; `coursewright resume` tries again
  2    the input or the set-up is wrong: the message says what to mend
  3    the budget is used up; what is done is kept: `coursewright resume --budget USD`
  130  interrupted; what is done is kept: `coursewright resume`

Results go to standard output, progress and diagnostics to standard error.
Configuration: coursewright.toml in the configuration folder, COURSEWRIGHT_* variables, DATABASE_URL,
OPENROUTER_API_KEY, OPENAI_BASE_URL, OPENAI_API_KEY; `coursewright doctor` shows what is in force.";

/// Turns a title into a complete, well-taught course
#[derive(Debug, Parser)]
#[command(name = "coursewright", version, after_help = EXIT_CODES, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: GlobalFlags,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args, Debug)]
struct GlobalFlags {
    /// The configuration file, instead of the one in the configuration folder
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where database, models and logs are kept [default: ~/.local/share/coursewright]
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a course from a title
    Create(Box<create::Create>),
    /// Continue a generation that was interrupted, failed, out of budget or paused
    Resume(resume::Resume),
    /// Make a part of a course anew: lessons whose documents have changed, a section, a lesson
    Regenerate(regenerate::Regenerate),
    /// Ask what the documents of a course say
    Ask(ask::Ask),
    /// Show, add, replace or remove the documents of a course
    Documents(documents::Documents),
    /// Show what is read of a file
    Extract(extract::Extract),
    /// List the courses
    List(list::List),
    /// Serve the API, with a worker in the same process
    Serve(serve::Serve),
    /// Work on the queue of a service, without an API
    Worker(worker::Worker),
    /// Write a course as files
    Export(export::Export),
    /// Show, fetch or check models
    Models(models::Models),
    /// Check the model providers
    Providers(providers::Providers),
    /// Describe the HTTP API: OpenAPI, TypeScript
    Api(api::Api),
    /// Print the JSON Schemas of courses
    Schema(schema::Schema),
    /// Look at this machine and the configuration: what is there, what is missing, how to mend it
    Doctor(doctor::Doctor),
    /// Add and list organizations, set their tiers
    #[command(name = "org")]
    Organization(organization::Organizations),
    /// Add and list people, set their roles and passwords
    User(user::Users),
    /// Sign access tokens for scripts
    Token(token::Tokens),
    /// Make, list and revoke API keys
    #[command(name = "apikey")]
    ApiKey(api_key::ApiKeys),
    /// Measure this machine
    Bench(bench::Bench),
    /// Print a completion script for a shell
    Completions(completions::Completions),
    /// Become another program, with limits on memory and time
    #[command(hide = true)]
    Confine(confine::Confine),
    /// Serve scripted answers over the OpenAI protocol: for demonstrations and tests
    #[command(hide = true)]
    ScriptedServer(scripted_server::ScriptedServer),
}

impl Command {
    /// Whether the addresses and keys of models matter to it.
    const fn calls_models(&self) -> bool {
        matches!(
            self,
            Self::Create(_)
                | Self::Resume(_)
                | Self::Regenerate(_)
                | Self::Ask(_)
                | Self::Documents(_)
                | Self::Serve(_)
                | Self::Worker(_)
                | Self::Providers(_)
                | Self::Doctor(_)
        )
    }
}

/// Runs the command that the process was started with.
///
/// # Errors
/// [`Failure`] with its exit code.
pub(crate) fn run() -> Result<Exit, Failure> {
    let cli = Cli::parse();
    // These need neither configuration nor data.
    match cli.command {
        Command::Completions(completions) => return completions.run(),
        Command::Schema(schema) => return schema.run(),
        Command::Api(api) => return api.run(),
        Command::Extract(extract) => return extract.run(),
        Command::Confine(confine) => return confine.run(),
        _ => {}
    }
    let flags = Flags {
        config: cli.global.config,
        data_dir: cli.global.data_dir,
    };
    let config = Config::load(&flags, &Environment::of_process())?;
    if cli.command.calls_models() {
        for remark in &config.remarks {
            eprintln!("note: {remark}");
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::of(domain::error::ErrorKind::Internal, &error))?;
    let ended = runtime.block_on(dispatch(cli.command, &config));
    // A thread that decodes or a blocked read must not hold the end up: everything that matters is in the database.
    runtime.shutdown_background();
    ended
}

async fn dispatch(command: Command, config: &Config) -> Result<Exit, Failure> {
    match command {
        Command::Create(create) => Box::pin(create.run(config)).await,
        Command::Resume(resume) => Box::pin(resume.run(config)).await,
        Command::Regenerate(regenerate) => Box::pin(regenerate.run(config)).await,
        Command::Ask(ask) => Box::pin(ask.run(config)).await,
        Command::Documents(documents) => Box::pin(documents.run(config)).await,
        Command::Serve(serve) => Box::pin(serve.run(config)).await,
        Command::Worker(worker) => Box::pin(worker.run(config)).await,
        Command::List(list) => list.run(config).await,
        Command::Export(export) => export.run(config).await,
        Command::Models(models) => models.run(config).await,
        Command::Providers(providers) => providers.run(config).await,
        Command::Schema(schema) => schema.run(),
        Command::Api(api) => api.run(),
        Command::Extract(extract) => extract.run(),
        Command::Confine(confine) => confine.run(),
        Command::Doctor(doctor) => doctor.run(config).await,
        Command::Organization(organizations) => organizations.run(config).await,
        Command::User(users) => users.run(config).await,
        Command::Token(tokens) => tokens.run(config).await,
        Command::ApiKey(keys) => keys.run(config).await,
        Command::Bench(bench) => Box::pin(bench.run(config)).await,
        Command::Completions(completions) => completions.run(),
        Command::ScriptedServer(server) => server.run().await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_documents_every_exit_code() {
        let help = Cli::command().render_long_help().to_string();
        for exit in [
            Exit::Success,
            Exit::Failure,
            Exit::Setup,
            Exit::Budget,
            Exit::Interrupted,
        ] {
            assert!(help.contains(&format!("\n  {} ", exit.code())), "{exit:?}");
        }
    }
}
