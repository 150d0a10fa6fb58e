//! Documents without files: what a reader would find in them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;

use async_trait::async_trait;
use domain::document::{BlockKind, DocumentBlock, DocumentText};
use pipeline::ingest::{DocumentReader, ReadError};
use store::document::Document;

/// Documents by their names: text with `#` before headings, or why it cannot be read.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    texts: BTreeMap<String, Result<String, String>>,
    read: Mutex<Vec<String>>,
}

impl Shelf {
    pub(crate) fn with(mut self, name: &str, text: &str) -> Self {
        self.texts.insert(name.to_owned(), Ok(text.to_owned()));
        self
    }

    pub(crate) fn with_unreadable(mut self, name: &str, problem: &str) -> Self {
        self.texts.insert(name.to_owned(), Err(problem.to_owned()));
        self
    }

    /// The names in their order, each with what makes its content another.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(name, text)| match text {
            Ok(text) | Err(text) => (name.as_str(), text.as_str()),
        })
    }
}

#[async_trait]
impl DocumentReader for Shelf {
    async fn read(&self, document: &Document) -> Result<DocumentText, ReadError> {
        self.read.lock().unwrap().push(document.filename.clone());
        match self.texts.get(&document.filename) {
            Some(Ok(text)) => Ok(text_of(text)),
            Some(Err(problem)) => Err(ReadError {
                code: "malformed".to_owned(),
                message: problem.clone(),
                is_passing: false,
            }),
            None => Err(ReadError {
                code: "missing".to_owned(),
                message: "it is not on the shelf".to_owned(),
                is_passing: false,
            }),
        }
    }
}

fn text_of(text: &str) -> DocumentText {
    let blocks = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| {
            let text = line.trim_start_matches('#');
            let level = u8::try_from(line.len() - text.len()).unwrap();
            DocumentBlock {
                kind: if level > 0 {
                    BlockKind::Heading { level }
                } else {
                    BlockKind::Paragraph
                },
                text: text.trim().to_owned(),
                page: None,
            }
        });
    DocumentText {
        blocks: blocks.collect(),
        ..DocumentText::default()
    }
}

/// A chapter: a title and parts of a heading and a few sentences.
pub(crate) fn chapter(title: &str, parts: &[(&str, &str)]) -> String {
    let mut text = format!("# {title}\n\n");
    for (heading, sentences) in parts {
        write!(text, "## {heading}\n\n{sentences}\n\n").unwrap();
    }
    text
}

/// A chapter on trade, each part long enough to be a chunk of its own.
pub(crate) fn trade() -> String {
    chapter(
        "Demand and Supply in Markets",
        &[
            (
                "Shifts in Demand Curves",
                "Demand curves move to the right when household income grows and shoppers buy more at every price. \
                 Cheaper substitutes move demand curves to the left because shoppers leave for another good. \
                 Fashion, seasons and worries about tomorrow push whole curves about without any change of price. \
                 Movements along a curve follow the price alone, and teachers of economics insist on that difference. \
                 A drought that ruins coffee beans lifts the demand for tea in every grocery of the country. \
                 Surveys of shoppers show how quickly such a shift reaches shelves, warehouses and ports.",
            ),
            (
                "Price Ceilings in Cities",
                "A price ceiling keeps landlords from charging more than the rent that a city council has fixed. \
                 Landlords answer a price ceiling with fewer flats, so tenants wait longer for housing. \
                 Those who already hold a contract stay for decades, even when their families have shrunk. \
                 Repairs are put off because nobody who complains can find another apartment nearby. \
                 Some councils exempt new buildings, which keeps builders at work while old rents stay low. \
                 Economists count the losses of newcomers against the gains of people with old contracts.",
            ),
            (
                "Price Floors for Farmers",
                "A price floor pays farmers more for wheat than buyers offer on the open market. \
                 Warehouses fill with unsold wheat because a price floor invites farmers to sow more fields. \
                 Governments then export the surplus cheaply, which angers growers in poorer countries. \
                 Small farms gain little, since most of the money follows the largest harvests. \
                 Direct payments to families would cost taxpayers less than storing grain for years. \
                 Yet ministers fear the protests that follow whenever a guaranteed price is lowered.",
            ),
        ],
    )
}

/// A chapter on labor, each part long enough to be a chunk of its own.
pub(crate) fn labor() -> String {
    chapter(
        "Labor and Financial Markets",
        &[
            (
                "Wages of Hospital Nurses",
                "Hospitals hire nurses until the wage of one more nurse equals the care that patients pay for. \
                 Wages of nurses climb when fewer graduates leave nursing schools in a region. \
                 Night shifts are paid better because few people like to sleep through the day. \
                 Clinics in the countryside offer flats and child care where higher wages alone draw nobody. \
                 Unions bargain for all wards at once and keep differences between hospitals small. \
                 New machines take over some tasks at the bedside and make other skills more valuable.",
            ),
            (
                "Interest on Credit Cards",
                "Banks lend through credit cards until the interest rate meets what savers ask for their deposits. \
                 Usury laws cap the interest rate, and careful banks then refuse cards to risky borrowers. \
                 Whoever pays the whole bill each month borrows for free and is a poor customer. \
                 Fees for late payment bring more profit than interest in many branches. \
                 Borrowers who are refused turn to pawnshops, where a loan costs several times as much. \
                 Regulators publish the yearly cost of every card so that offers can be compared.",
            ),
            (
                "Prices as Messages",
                "Prices carry messages about scarce goods from distant growers to kitchens that never meet them. \
                 No planner could collect the messages that prices send through a market each morning. \
                 A frost in orchards far away shows on the next day in the price of oranges. \
                 Bakers, cooks and parents answer it without knowing anything about the weather there. \
                 Taxes and quotas blur the message, and people then save what is not scarce at all. \
                 Historians of trade have followed such signals from one harbour to the next.",
            ),
        ],
    )
}

/// A chapter of more than 3000 tokens: it does not pass through without a summary.
pub(crate) fn long_chapter(title: &str) -> String {
    let things = [
        "rivers",
        "bridges",
        "harbours",
        "markets",
        "railways",
        "archives",
        "orchards",
        "foundries",
    ];
    let acts = [
        "feed", "connect", "supply", "protect", "measure", "describe", "shelter", "employ",
    ];
    let mut text = format!("# {title}\n\n");
    for (part, thing) in things.iter().enumerate() {
        write!(text, "## How {thing} of {title} work\n\n").unwrap();
        for line in 0..32 {
            let (act, other) = (acts[line % acts.len()], things[(part + line + 1) % things.len()]);
            write!(
                text,
                "In year {} the {thing} of {title} {act} the {other} in district {} of the old town. ",
                1800 + line,
                part * 32 + line
            )
            .unwrap();
        }
        text.push_str("\n\n");
    }
    text
}
