//! `schema`: the published JSON Schemas (draft 2020-12), derived from the types.

use clap::Args;
use domain::schema::published_schemas;

use super::output::print;
use crate::failure::{Exit, Failure};

/// The arguments of `schema`.
#[derive(Args, Debug)]
pub(super) struct Schema {
    /// Which one, for example course-structure [default: their names]
    name: Option<String>,
}

impl Schema {
    /// Prints one schema, or all names.
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let schemas = published_schemas();
        let Some(name) = self.name else {
            for (name, _) in &schemas {
                print(name)?;
            }
            return Ok(Exit::Success);
        };
        let wanted = name.trim_end_matches(".json").replace('_', "-");
        let Some((_, schema)) = schemas.iter().find(|(name, _)| *name == wanted) else {
            let known = schemas
                .iter()
                .map(|(name, _)| *name)
                .collect::<Vec<_>>()
                .join(", ");
            return Err(Failure::setup(format!(
                "there is no schema '{name}'; there are {known}"
            )));
        };
        print(&format!("{schema:#}"))?;
        Ok(Exit::Success)
    }
}
