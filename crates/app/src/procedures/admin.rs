//! Running organizations and the installation.

mod observe;
mod tiers;

use chrono::{DateTime, Utc};
use domain::generation::GenerationStatus;
use domain::id::{CourseId, OrganizationId, UserId};
use domain::organization::Tier;
use domain::user::Role;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::course::{CourseFilter, Publication, Tenants};
use store::organization::{self, Organization};
use store::user::{self, User};

use super::courses::output::CourseSummaryOutput;
use super::courses::{EXAMPLE_ID, list_filtered};
use super::error::{ApiError, ErrorCode};
use super::page::{self, Page};
use super::{Access, Call, Procedure, mutation, query};

/// The rows of this file.
pub(super) fn procedures() -> Vec<Procedure> {
    let mut rows = vec![
        query(
            "admin.listOrganizations",
            Access::Admin,
            "List organizations: admins see their own, superadmins all",
            list_organizations,
        )
        .example(json!({ "limit": 50 })),
        query("admin.listUsers", Access::Admin, "List people", list_users).example(json!({ "limit": 50 })),
        query(
            "admin.listCourses",
            Access::Admin,
            "List the courses of the organization, or of all",
            list_courses,
        )
        .example(json!({ "generationStatus": "failed" })),
        mutation(
            "admin.setRole",
            Access::Admin,
            "Change what a person may do",
            set_role,
        )
        .fails(&[ErrorCode::NotFound, ErrorCode::Conflict])
        .example(json!({ "userId": EXAMPLE_ID, "role": "instructor" })),
        mutation(
            "admin.assignSuperAdmin",
            Access::Superadmin,
            "Make a person a superadmin",
            assign_super_admin,
        )
        .fails(&[ErrorCode::NotFound])
        .example(json!({ "userId": EXAMPLE_ID })),
        mutation(
            "admin.setTier",
            Access::Superadmin,
            "Change the tier of an organization",
            set_tier,
        )
        .fails(&[ErrorCode::NotFound])
        .example(json!({ "organizationId": EXAMPLE_ID, "tier": "standard" })),
    ];
    rows.extend(tiers::procedures());
    rows.extend(observe::procedures());
    rows
}

/// An organization.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Organization")]
struct OrganizationOutput {
    /// Its id.
    id: OrganizationId,
    /// Its name.
    name: String,
    /// Its limits and its priority.
    tier: Tier,
    /// Bytes of its stored documents.
    storage_used_bytes: u64,
    /// Since when it is known.
    created_at: DateTime<Utc>,
}

impl From<Organization> for OrganizationOutput {
    fn from(organization: Organization) -> Self {
        Self {
            id: organization.id,
            name: organization.name,
            tier: organization.tier,
            storage_used_bytes: organization.storage_used_bytes,
            created_at: organization.created_at,
        }
    }
}

/// A person in one organization.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "User")]
struct UserOutput {
    /// Their id.
    id: UserId,
    /// Their organization.
    organization_id: OrganizationId,
    /// Their address.
    email: String,
    /// What they are called.
    name: Option<String>,
    /// Their role.
    role: Role,
    /// Since when they are known.
    created_at: DateTime<Utc>,
}

impl From<User> for UserOutput {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            organization_id: user.organization_id,
            email: user.email,
            name: user.name,
            role: user.role,
            created_at: user.created_at,
        }
    }
}

/// Which organizations.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OrganizationsInput {
    /// The `nextCursor` of the page before.
    cursor: Option<OrganizationId>,
    /// Items of a page.
    #[schemars(range(min = 1, max = page::MOST))]
    limit: Option<u32>,
}

async fn list_organizations(
    call: Call,
    input: OrganizationsInput,
) -> Result<Page<OrganizationOutput>, ApiError> {
    let actor = call.actor()?;
    let OrganizationsInput { cursor, limit } = input;
    let rows = call
        .service
        .store
        .with_tenant(&actor, async move |tx| {
            organization::list_organizations(tx, cursor, page::rows_for(limit)).await
        })
        .await?;
    Ok(Page::of(rows, limit, |row| row.id.to_string()))
}

/// Which people.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UsersInput {
    /// Of this organization; superadmins see all.
    organization_id: Option<OrganizationId>,
    /// The `nextCursor` of the page before.
    cursor: Option<UserId>,
    /// Items of a page.
    #[schemars(range(min = 1, max = page::MOST))]
    limit: Option<u32>,
}

async fn list_users(call: Call, input: UsersInput) -> Result<Page<UserOutput>, ApiError> {
    let actor = call.actor()?;
    let UsersInput {
        organization_id,
        cursor,
        limit,
    } = input;
    let rows = call
        .service
        .store
        .with_tenant(&actor, async move |tx| {
            user::list_users(tx, organization_id, cursor, page::rows_for(limit)).await
        })
        .await?;
    Ok(Page::of(rows, limit, |row| row.id.to_string()))
}

/// Which courses.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CoursesInput {
    /// Of this organization; superadmins see all.
    organization_id: Option<OrganizationId>,
    /// Words of the title or of the name in addresses.
    #[schemars(length(min = 1, max = 200))]
    search: Option<String>,
    /// Where they stand with their readers.
    status: Option<Publication>,
    /// Where their latest generation stands.
    generation_status: Option<GenerationStatus>,
    /// Whose they are.
    owner_id: Option<UserId>,
    /// The `nextCursor` of the page before.
    cursor: Option<CourseId>,
    /// Items of a page.
    #[schemars(range(min = 1, max = page::MOST))]
    limit: Option<u32>,
}

async fn list_courses(call: Call, input: CoursesInput) -> Result<Page<CourseSummaryOutput>, ApiError> {
    let filter = CourseFilter {
        // Row-level security keeps admins within their organization.
        tenants: input.organization_id.map_or(Tenants::All, Tenants::One),
        search: input.search,
        publication: input.status,
        generation_status: input.generation_status.map(Some),
        owner: input.owner_id,
    };
    list_filtered(&call, filter, input.cursor, input.limit).await
}

/// A person and their new role.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RoleInput {
    /// The person.
    user_id: UserId,
    /// What they are to be.
    role: Role,
}

/// A person.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OfUser {
    /// The person.
    user_id: UserId,
}

async fn set_role(call: Call, input: RoleInput) -> Result<UserOutput, ApiError> {
    let actor = call.actor()?;
    let changed = call
        .service
        .store
        .with_tenant(&actor, async move |tx| {
            user::set_role(tx, input.user_id, input.role).await
        })
        .await?;
    call.service.auth.forget(input.user_id);
    Ok(changed.into())
}

async fn assign_super_admin(call: Call, input: OfUser) -> Result<UserOutput, ApiError> {
    let input = RoleInput {
        user_id: input.user_id,
        role: Role::Superadmin,
    };
    set_role(call, input).await
}

/// An organization and its new tier.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TierInput {
    /// The organization.
    organization_id: OrganizationId,
    /// Its new tier.
    tier: Tier,
}

async fn set_tier(call: Call, input: TierInput) -> Result<OrganizationOutput, ApiError> {
    let actor = call.actor()?;
    let TierInput {
        organization_id,
        tier,
    } = input;
    let changed = call
        .service
        .store
        .with_tenant(&actor, async move |tx| {
            organization::set_tier(tx, organization_id, tier).await
        })
        .await?;
    Ok(changed.into())
}
