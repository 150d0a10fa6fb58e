//! What was used and what it cost.

use chrono::{DateTime, Utc};
use domain::generation::GenerationStatus;
use domain::id::{OrganizationId, UserId};
use domain::organization::Tier;
use domain::usage::{MicroUsd, TokenUsage};
use domain::user::Role;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::json::from_word;
use crate::statement::statements;
use crate::tx::TenantTx;
use crate::tx::sealed::Sealed;

statements! {
    GENERATIONS = "select status, count(*) from generations
        where ($1::uuid is null or organization_id = $1) and ($2::uuid is null or user_id = $2) and created_at >= $3
        group by status order by status";
    SPENDING = "select coalesce(sum(m.cost_usd_micros), 0)::bigint, coalesce(sum(m.prompt_tokens), 0)::bigint,
            coalesce(sum(m.completion_tokens), 0)::bigint
        from model_calls m join generations g on g.id = m.generation_id
        where ($1::uuid is null or m.organization_id = $1) and ($2::uuid is null or g.user_id = $2)
            and m.created_at >= $3";
    LESSONS = "select count(*) from lesson_contents l join courses c on c.id = l.course_id
        where ($1::uuid is null or l.organization_id = $1) and ($2::uuid is null or c.owner_id = $2)
            and l.updated_at >= $3 and l.status in ('completed', 'needs_review')";
    STORAGE = "select coalesce(sum(storage_used_bytes), 0)::bigint from organizations where $1::uuid is null or id = $1";
    OWN_STORAGE = "select coalesce(sum(d.size_bytes), 0)::bigint from documents d join courses c on c.id = d.course_id
        where ($1::uuid is null or d.organization_id = $1) and c.owner_id = $2";
    TENANTS = "select tier, count(*) from organizations group by tier order by tier";
    PEOPLE = "select role, count(*) from users group by role order by role";
    COURSES = "select count(*), count(*) filter (where status = 'published') from courses";
    WAITING = "select count(*) filter (where state = 'pending'), count(*) filter (where state = 'running') from jobs
        where state in ('pending', 'running')";
    COSTS = "select case $1 when 'day' then to_char(created_at at time zone 'utc', 'YYYY-MM-DD')
                when 'model' then model else organization_id::text end as key,
            coalesce(sum(cost_usd_micros), 0)::bigint, coalesce(sum(prompt_tokens), 0)::bigint,
            coalesce(sum(completion_tokens), 0)::bigint, count(*)
        from model_calls where created_at >= $2 and ($3::uuid is null or organization_id = $3)
        group by 1 order by case when $1 = 'day' then 0 else sum(cost_usd_micros) end desc, 1 desc limit $4";
}

/// What was used since some time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Generations that were asked for, by where they stand.
    pub generations: Vec<(GenerationStatus, u64)>,
    /// What models cost.
    pub cost: MicroUsd,
    /// What models read and wrote.
    pub tokens: TokenUsage,
    /// Lesson texts that were written and are still there.
    pub lessons: u64,
    /// Bytes of stored documents at present.
    pub storage_bytes: u64,
}

/// The installation as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstallationStatistics {
    /// Organizations by tier.
    pub organizations: Vec<(Tier, u64)>,
    /// People by role.
    pub users: Vec<(Role, u64)>,
    /// Courses.
    pub courses: u64,
    /// Published ones among them.
    pub published_courses: u64,
    /// Jobs that wait.
    pub jobs_waiting: u64,
    /// Jobs that run.
    pub jobs_running: u64,
    /// What all of them used.
    pub usage: Usage,
}

/// By what costs are summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CostGroup {
    /// By day in UTC; the key is a date like `2026-01-31`.
    Day,
    /// By model; the key is its name.
    Model,
    /// By organization; the key is its id.
    Organization,
}

impl CostGroup {
    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Model => "model",
            Self::Organization => "organization",
        }
    }
}

/// What one day, model or organization cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostRow {
    /// Which.
    pub key: String,
    /// What its calls cost.
    pub cost: MicroUsd,
    /// What they read and wrote.
    pub tokens: TokenUsage,
    /// How many they were.
    pub calls: u64,
}

/// What was used since then, of what the actor may see: by one organization or by all, by one person or by all.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn usage(
    tx: &mut TenantTx,
    organization: Option<OrganizationId>,
    user: Option<UserId>,
    since: DateTime<Utc>,
) -> Result<Usage, StoreError> {
    let organization = organization.map(OrganizationId::as_uuid);
    let user = user.map(UserId::as_uuid);
    let generations: Vec<(String, i64)> = sqlx::query_as(GENERATIONS)
        .bind(organization)
        .bind(user)
        .bind(since)
        .fetch_all(tx.connection())
        .await?;
    let (cost, input, output): (i64, i64, i64) = sqlx::query_as(SPENDING)
        .bind(organization)
        .bind(user)
        .bind(since)
        .fetch_one(tx.connection())
        .await?;
    let lessons: i64 = sqlx::query_scalar(LESSONS)
        .bind(organization)
        .bind(user)
        .bind(since)
        .fetch_one(tx.connection())
        .await?;
    let storage: i64 = match user {
        Some(user) => {
            sqlx::query_scalar(OWN_STORAGE)
                .bind(organization)
                .bind(user)
                .fetch_one(tx.connection())
                .await?
        }
        None => {
            sqlx::query_scalar(STORAGE)
                .bind(organization)
                .fetch_one(tx.connection())
                .await?
        }
    };
    Ok(Usage {
        generations: counted(generations, "generation status")?,
        cost: MicroUsd(cost),
        tokens: TokenUsage::new(input.cast_unsigned(), output.cast_unsigned()),
        lessons: lessons.cast_unsigned(),
        storage_bytes: storage.cast_unsigned(),
    })
}

/// The installation as a whole; what was used, since then.
///
/// # Errors
/// [`StoreError::Forbidden`] if the actor is not a superadmin.
pub async fn installation(
    tx: &mut TenantTx,
    since: DateTime<Utc>,
) -> Result<InstallationStatistics, StoreError> {
    if tx.actor().role != Role::Superadmin {
        return Err(StoreError::Forbidden(
            "only a superadmin sees the whole installation".to_owned(),
        ));
    }
    let organizations: Vec<(String, i64)> = sqlx::query_as(TENANTS).fetch_all(tx.connection()).await?;
    let users: Vec<(String, i64)> = sqlx::query_as(PEOPLE).fetch_all(tx.connection()).await?;
    let (courses, published): (i64, i64) = sqlx::query_as(COURSES).fetch_one(tx.connection()).await?;
    let (waiting, running): (i64, i64) = sqlx::query_as(WAITING).fetch_one(tx.connection()).await?;
    Ok(InstallationStatistics {
        organizations: counted(organizations, "tier")?,
        users: counted(users, "role")?,
        courses: courses.cast_unsigned(),
        published_courses: published.cast_unsigned(),
        jobs_waiting: waiting.cast_unsigned(),
        jobs_running: running.cast_unsigned(),
        usage: usage(tx, None, None, since).await?,
    })
}

/// What models cost since then, of what the actor may see; the latest day or the highest cost first.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn costs(
    tx: &mut TenantTx,
    group: CostGroup,
    organization: Option<OrganizationId>,
    since: DateTime<Utc>,
    limit: u32,
) -> Result<Vec<CostRow>, StoreError> {
    let rows: Vec<(String, i64, i64, i64, i64)> = sqlx::query_as(COSTS)
        .bind(group.as_str())
        .bind(since)
        .bind(organization.map(OrganizationId::as_uuid))
        .bind(i64::from(limit))
        .fetch_all(tx.connection())
        .await?;
    Ok(rows
        .into_iter()
        .map(|(key, cost, input, output, calls)| CostRow {
            key,
            cost: MicroUsd(cost),
            tokens: TokenUsage::new(input.cast_unsigned(), output.cast_unsigned()),
            calls: calls.cast_unsigned(),
        })
        .collect())
}

fn counted<T: serde::de::DeserializeOwned>(
    rows: Vec<(String, i64)>,
    what: &'static str,
) -> Result<Vec<(T, u64)>, StoreError> {
    rows.into_iter()
        .map(|(word, count)| Ok((from_word(word, what)?, count.cast_unsigned())))
        .collect()
}
