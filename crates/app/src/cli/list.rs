//! `list`: the courses.

use clap::Args;
use store::cluster::Unobserved;
use store::course::list_courses;

use super::output::print;
use super::run::Database;
use super::table::{row, table};
use crate::config::Config;
use crate::failure::{Exit, Failure};

/// Characters of a title that a table shows.
const TITLE_CHARS: usize = 48;

/// The arguments of `list`.
#[derive(Args, Debug)]
pub(super) struct List {
    /// How many, the newest first
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
}

impl List {
    /// Prints the table.
    pub(super) async fn run(self, config: &Config) -> Result<Exit, Failure> {
        let database = Database::open(config, &Unobserved).await?;
        let limit = self.limit;
        let courses = database
            .store
            .with_tenant(&database.actor, async |tx| {
                list_courses(tx, &store::course::CourseFilter::default(), None, limit).await
            })
            .await?;
        database.close().await;
        if courses.is_empty() {
            eprintln!("There are no courses yet: `coursewright create TITLE`");
            return Ok(Exit::Success);
        }
        let mut rows = vec![row([
            "ID",
            "TITLE",
            "LANGUAGE",
            "STATUS",
            "DONE",
            "LESSONS",
            "CREATED (UTC)",
        ])];
        rows.extend(courses.into_iter().map(|course| {
            vec![
                course.id.to_string(),
                shortened(&course.title),
                course.language.code().to_owned(),
                course
                    .generation_status
                    .map_or("-", |status| status.as_str())
                    .to_owned(),
                format!("{} %", course.percentage),
                format!("{}/{}", course.lessons_completed, course.lessons_total),
                course.created_at.format("%Y-%m-%d %H:%M").to_string(),
            ]
        }));
        print(&table(&rows))?;
        Ok(Exit::Success)
    }
}

fn shortened(title: &str) -> String {
    if title.chars().count() <= TITLE_CHARS {
        return title.to_owned();
    }
    let kept: String = title.chars().take(TITLE_CHARS - 1).collect();
    format!("{}…", kept.trim_end())
}
