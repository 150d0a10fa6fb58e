//! Search by words: as BM25 weighs them (Robertson, Zaragoza 2009), with PostgreSQL's stemmers and its index.
//!
//! PostgreSQL's own ranking does not know how rare a word is, which decides most in questions of a few words. So the
//! documents that have each word are counted first, and chunks with rare words are ranked.

use sqlx::PgConnection;
use uuid::Uuid;

use domain::id::ChunkId;

use super::Scope;
use crate::error::StoreError;
use crate::json::to_text;
use crate::statement::statements;

statements! {
    LIST_WORDS = "select distinct w.lexeme from unnest($1::text[]) as l (language),
        unnest(app.words_of(l.language, $2)) as w (lexeme, positions, weights)";
    COUNT_WORDS = "with found as materialized (select ''::tsvector || c.search as search
            from unnest($1::uuid[], $2::text[]) as s (organization_id, sha256)
            join chunks c on c.organization_id = s.organization_id and c.sha256 = s.sha256
            where c.search is not null)
        select w.place, (select count(*) from (
            select from found f where f.search @@ w.query::tsquery limit $4) as counted)
        from unnest($3::text[]) with ordinality as w (query, place) order by w.place";
    COUNT_WORDS_WIDELY = "with scope as materialized (select s.organization_id, s.sha256
            from unnest($1::uuid[], $2::text[]) as s (organization_id, sha256))
        select w.place, (select count(*) from (
            select from (select c.organization_id, c.sha256 from chunks c where c.search @@ w.query::tsquery offset 0) as c
            where (c.organization_id, c.sha256) in (select s.organization_id, s.sha256 from scope s) limit $4) as found)
        from unnest($3::text[]) with ordinality as w (query, place) order by w.place";
    RANK = "with found as materialized (select c.id, c.tokens, ''::tsvector || c.search as search
            from unnest($1::uuid[], $2::text[]) as s (organization_id, sha256)
            join chunks c on c.organization_id = s.organization_id and c.sha256 = s.sha256
            where c.search is not null)
        select c.id from found c,
        lateral (select sum(w.weight * ts_rank($6::real[], c.search, w.query::tsquery))
                / (1 - $7::float8 + $7::float8 * c.tokens / $8::float8) as score
            from unnest($3::text[], $4::float8[]) as w (query, weight)) as ranked
        where c.search @@ $5::text::tsquery
        order by ranked.score desc, c.id limit $9";
    RANK_WIDELY = "with found as materialized (
            select c.id, c.tokens, ''::tsvector || c.search as search
            from (select c.id, c.tokens, c.search, c.organization_id, c.sha256 from chunks c
                where c.search @@ $5::text::tsquery offset 0) as c
            where (c.organization_id, c.sha256) in (
                select s.organization_id, s.sha256 from unnest($1::uuid[], $2::text[]) as s (organization_id, sha256)))
        select c.id from found c,
        lateral (select sum(w.weight * ts_rank($6::real[], c.search, w.query::tsquery))
                / (1 - $7::float8 + $7::float8 * c.tokens / $8::float8) as score
            from unnest($3::text[], $4::float8[]) as w (query, weight)) as ranked
        order by ranked.score desc, c.id limit $9";
}

/// Words of a question that are looked up, and those of them that count, the rarest: more make a search slow and tell
/// little.
const LOOKED_UP_MOST: usize = 256;
const WORDS_MOST: usize = 64;
/// A word is counted up to so many chunks; it tells nothing then, in a collection of any size.
const COUNT_MOST: u32 = 20_000;
/// Chunks that are ranked: those with the rarest words of the question. Words that would bring more only add to the
/// score of the others.
const CANDIDATES_MOST: u32 = 2_000;
/// In so many contents or chunks, the index of words is read, once for all of them. In fewer, their chunks are read
/// instead: the index has no order by content, and what it knows of everybody's chunks is more.
const CONTENTS_WIDE: usize = 50;
const CHUNKS_WIDE: usize = 5_000;
/// What a word in the headings counts against one in the text, in PostgreSQL's order of weights: D, C, B, A.
const WEIGHTS: [f32; 4] = [0.5, 0.5, 0.5, 1.0];
/// How much the length of a chunk counts (`b` of BM25), and the length of a chunk as they are cut, in tokens. The length
/// divides the whole score, more steeply than in BM25: measured better for questions of few words (decision 0008).
const LENGTH_SHARE: f64 = 0.75;
const USUAL_TOKENS: f64 = 400.0;

/// The chunks of `scope` that have words of `question`, the best first.
pub(super) async fn rank(
    connection: &mut PgConnection,
    scope: &[Scope],
    question: &str,
    limit: usize,
) -> Result<Vec<ChunkId>, StoreError> {
    let words = list_words(connection, scope, question).await?;
    if words.is_empty() {
        return Ok(Vec::new());
    }
    let (organizations, hashes): (Vec<Uuid>, Vec<&str>) = scope
        .iter()
        .map(|part| {
            let content = &part.searched.content;
            (content.organization_id.as_uuid(), content.sha256.as_str())
        })
        .unzip();
    let quoted: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    let chunks: usize = scope.iter().map(|part| part.searched_count).sum();
    let is_wide = scope.len() >= CONTENTS_WIDE || chunks >= CHUNKS_WIDE;
    let (count_words, rank_chunks) = if is_wide {
        (COUNT_WORDS_WIDELY, RANK_WIDELY)
    } else {
        (COUNT_WORDS, RANK)
    };
    let counts: Vec<(i64, i64)> = sqlx::query_as(count_words)
        .bind(&organizations)
        .bind(&hashes)
        .bind(&quoted)
        .bind(i64::from(COUNT_MOST))
        .fetch_all(&mut *connection)
        .await?;
    let mut counted: Vec<(u32, String)> = quoted
        .into_iter()
        .zip(counts)
        .map(|(word, (_, count))| (u32::try_from(count).unwrap_or(u32::MAX), word))
        .filter(|(count, _)| *count > 0)
        .collect();
    counted.sort();
    counted.truncate(WORDS_MOST);
    let chosen = choose(&counted);
    if chosen.is_empty() {
        return Ok(Vec::new());
    }
    let weights: Vec<f64> = counted.iter().map(|(count, _)| rarity(*count, chunks)).collect();
    let words: Vec<&str> = counted.iter().map(|(_, word)| word.as_str()).collect();
    let ids: Vec<Uuid> = sqlx::query_scalar(rank_chunks)
        .bind(organizations)
        .bind(hashes)
        .bind(words)
        .bind(weights)
        .bind(chosen)
        .bind(WEIGHTS.to_vec())
        .bind(LENGTH_SHARE)
        .bind(USUAL_TOKENS)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?;
    Ok(ids.into_iter().map(ChunkId::from_uuid).collect())
}

/// The words of the question as each language in scope has them: stemmed, without those that tell nothing.
async fn list_words(
    connection: &mut PgConnection,
    scope: &[Scope],
    question: &str,
) -> Result<Vec<String>, StoreError> {
    let mut languages: Vec<Option<&str>> = scope.iter().map(|part| part.language.as_deref()).collect();
    languages.sort_unstable();
    languages.dedup();
    let mut words: Vec<String> = sqlx::query_scalar(LIST_WORDS)
        .bind(languages)
        .bind(to_text(question))
        .fetch_all(connection)
        .await?;
    words.sort_unstable();
    words.truncate(LOOKED_UP_MOST);
    Ok(words)
}

/// The question for chunks that are ranked, from words in the order of their rarity.
fn choose(counted: &[(u32, String)]) -> String {
    let mut chunks = 0_u32;
    let mut chosen: Vec<&str> = Vec::new();
    for (count, word) in counted {
        chunks = chunks.saturating_add(*count);
        if !chosen.is_empty() && chunks > CANDIDATES_MOST {
            break;
        }
        chosen.push(word);
    }
    chosen.join(" | ")
}

/// How much a word tells that `count` of `all` chunks have (the inverse document frequency of BM25, never negative).
fn rarity(count: u32, all: usize) -> f64 {
    let (count, all) = (f64::from(count), (all as f64).max(f64::from(count)));
    (1.0 + (all - count + 0.5) / (count + 0.5)).ln()
}

/// A word as a question of PostgreSQL that is not parsed again.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_words_tell_more() {
        assert!(rarity(1, 1000) > rarity(10, 1000));
        assert!(rarity(10, 1000) > rarity(999, 1000));
        assert!(rarity(1000, 1000) > 0.0);
        assert!(
            rarity(5, 0) > 0.0,
            "counts that have changed meanwhile do no harm"
        );
    }

    #[test]
    fn words_that_would_bring_too_many_chunks_only_add_to_the_score() {
        let counted = |counts: &[u32]| -> Vec<(u32, String)> {
            counts
                .iter()
                .map(|count| (*count, quoted(&count.to_string())))
                .collect()
        };
        assert_eq!(choose(&counted(&[3, 40, 1_957])), "'3' | '40' | '1957'");
        assert_eq!(choose(&counted(&[3, 40, 1_958])), "'3' | '40'");
        assert_eq!(choose(&counted(&[20_000])), "'20000'", "there is nothing rarer");
        assert_eq!(choose(&[]), "");
    }

    #[test]
    fn words_cannot_leave_their_quotes() {
        assert_eq!(quoted(r"a'b\c"), r"'a''b\\c'");
    }
}
