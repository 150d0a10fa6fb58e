//! Row-level security: who may see and change which rows (service 4.6).

use domain::id::{CourseId, OrganizationId, UserId};
use domain::organization::Tier;
use domain::stage::Stage;
use domain::user::{Actor, Role};
use sqlx::{Connection, PgConnection};
use store::checkpoint::{CheckpointKey, record_checkpoint};
use store::course::{self, Course, CourseFilter};
use store::error::StoreError;
use store::generation::{self, lifecycle};
use store::metric::{Event, NewMetric, Severity, insert_metric};
use store::model_capability::save_capability;
use store::session_cookie::{self, NewCookie};
use store::tier::get_tier_settings;
use store::{api_key, document, session, user, webhook};

use crate::library;
use crate::world::{World, call, colleague, course_of, inputs, new_generation, person, upload};

async fn visible(world: &World, actor: &Actor) -> Vec<String> {
    let mut titles: Vec<String> = world
        .store()
        .with_tenant(actor, async |tx| {
            course::list_courses(tx, &CourseFilter::default(), None, 100).await
        })
        .await
        .unwrap()
        .into_iter()
        .map(|course| course.title)
        .collect();
    titles.sort();
    titles
}

async fn can_get(world: &World, actor: &Actor, course: &Course) -> bool {
    match world
        .store()
        .with_tenant(actor, async |tx| course::get_course(tx, course.id).await)
        .await
    {
        Ok(_) => true,
        Err(StoreError::NotFound { .. }) => false,
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn each_role_sees_what_it_may() {
    let world = World::new().await;
    let store = world.store();
    let student = colleague(store, &world.owner, Role::Student, "student@alpha.example").await;
    let other = colleague(store, &world.owner, Role::Instructor, "other@alpha.example").await;
    let admin = colleague(store, &world.owner, Role::Admin, "admin@alpha.example").await;
    let foreign_admin = person(store, "Beta", Tier::Free, Role::Admin).await;
    let superadmin = person(store, "Operators", Tier::Premium, Role::Superadmin).await;
    let draft = world.course("Draft course").await;
    let published = world.course("Published course").await;
    let foreign = course_of(store, &foreign_admin, "Foreign course").await;
    sqlx::query("update courses set status = 'published' where id = $1")
        .bind(published.id.as_uuid())
        .execute(&mut world.superuser().await)
        .await
        .unwrap();

    assert_eq!(
        visible(&world, &world.owner).await,
        ["Draft course", "Published course"]
    );
    assert_eq!(
        visible(&world, &admin).await,
        ["Draft course", "Published course"]
    );
    assert_eq!(visible(&world, &other).await, ["Published course"]);
    assert_eq!(visible(&world, &student).await, ["Published course"]);
    assert_eq!(visible(&world, &foreign_admin).await, ["Foreign course"]);
    assert!(
        can_get(&world, &superadmin, &draft).await,
        "a superadmin reads every organization"
    );
    assert!(can_get(&world, &superadmin, &foreign).await);
    assert!(
        !can_get(&world, &admin, &foreign).await,
        "another organization's course does not exist"
    );
}

#[tokio::test]
async fn nobody_changes_what_is_not_theirs() {
    let world = World::new().await;
    let store = world.store();
    let course = world.course("Mine").await;
    let student = colleague(store, &world.owner, Role::Student, "student@alpha.example").await;
    let admin = colleague(store, &world.owner, Role::Admin, "admin@alpha.example").await;
    let superadmin = person(store, "Operators", Tier::Premium, Role::Superadmin).await;
    for actor in [student, admin, superadmin] {
        let refused = store
            .with_tenant(&actor, async |tx| course::delete_course(tx, course.id).await)
            .await;
        assert!(
            matches!(refused, Err(StoreError::NotFound { .. })),
            "{:?}: {refused:?}",
            actor.role
        );
        let refused = store
            .with_tenant(&actor, async |tx| {
                lifecycle::start_generation(tx, &new_generation(course.id)).await
            })
            .await;
        let expected = match actor.role {
            Role::Student => matches!(refused, Err(StoreError::NotFound { .. })),
            _ => matches!(refused, Err(StoreError::Forbidden(_))),
        };
        assert!(expected, "{:?}: {refused:?}", actor.role);
    }
    let inputs = inputs("A student's course");
    let refused = store
        .with_tenant(&student, async |tx| course::insert_course(tx, &inputs).await)
        .await;
    assert!(matches!(refused, Err(StoreError::Forbidden(_))), "{refused:?}");
    store
        .with_tenant(&world.owner, async |tx| {
            course::delete_course(tx, course.id).await
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn claims_about_others_give_nothing() {
    let world = World::new().await;
    let store = world.store();
    let foreign = person(store, "Beta", Tier::Free, Role::Instructor).await;
    let course = course_of(store, &foreign, "Foreign course").await;
    // The right organization with the wrong person, and the right person with the wrong organization.
    let forged = [
        Actor {
            organization_id: foreign.organization_id,
            ..world.owner
        },
        Actor {
            user_id: foreign.user_id,
            ..world.owner
        },
        Actor {
            user_id: UserId::generate(),
            organization_id: OrganizationId::generate(),
            role: Role::Admin,
        },
    ];
    for actor in forged {
        assert!(!can_get(&world, &actor, &course).await, "{actor:?}");
        let inputs = inputs("Put into another organization");
        let inserted = store
            .with_tenant(&actor, async |tx| course::insert_course(tx, &inputs).await)
            .await;
        assert!(inserted.is_err(), "{actor:?}");
    }
}

#[tokio::test]
async fn without_claims_nothing_is_visible() {
    let world = World::new().await;
    world.course("Hidden").await;
    let mut connection = world.superuser().await;
    for claims in ["", "{}", r#"{"user_role":"admin"}"#, r#"{"role":"service_role"}"#] {
        let mut tx = connection.begin().await.unwrap();
        sqlx::query(
            "select set_config('role', 'authenticated', true), set_config('request.jwt.claims', $1, true)",
        )
        .bind(claims)
        .execute(&mut *tx)
        .await
        .unwrap();
        for table in [
            "courses",
            "users",
            "organizations",
            "generations",
            "jobs",
            "model_calls",
            "system_metrics",
        ] {
            let sql = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
            let count: i64 = sqlx::query_scalar(sql).fetch_one(&mut *tx).await.unwrap();
            assert_eq!(count, 0, "{table} with {claims}");
        }
    }
    // A connection at rest may do nothing at all.
    let mut tx = connection.begin().await.unwrap();
    sqlx::query("set local role anon")
        .execute(&mut *tx)
        .await
        .unwrap();
    let refused = sqlx::query("select 1 from courses")
        .execute(&mut *tx)
        .await
        .unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().unwrap(), "42501");
}

/// One row or more in every table of a tenant.
async fn full_world() -> World {
    let world = World::new().await;
    let store = world.store();
    let admin = colleague(store, &world.owner, Role::Admin, "admin@alpha.example").await;
    let (course, _) = world.started().await;
    upload(store, &world.owner, course.id, "a.txt", b"content").await;
    let worker = world.worker().await;
    let claimed = world.claim(&worker).await.unwrap();
    let key = api_key::NewApiKey {
        name: "k".to_owned(),
        prefix: "cw".to_owned(),
        key_hash: [1; 32],
        scopes: vec![api_key::Scope::Read],
        expires_at: None,
    };
    store
        .with_tenant(&admin, async |tx| {
            api_key::insert_api_key(tx, &key).await?;
            webhook::insert_endpoint(tx, "https://a.example", &[]).await
        })
        .await
        .unwrap();
    store
        .with_system(async |tx| {
            user::set_password_hash(tx, world.owner.user_id, "$argon2id$").await?;
            save_capability(tx, "p", "h/v1", "m", &serde_json::json!({})).await?;
            let at = "2030-01-01T00:00:00Z".parse().unwrap();
            session::insert_session(tx, world.owner.user_id, [1; 32], at).await?;
            let cookie = NewCookie {
                token_hash: [1; 32],
                expires_at: at,
            };
            session_cookie::insert_cookie_session(tx, world.owner.user_id, cookie, at).await?;
            let key = CheckpointKey::new(&claimed.job, "p", 1, "00");
            record_checkpoint(tx, &claimed.lease, &key, &1, &[call(&claimed, 1, 1, "accepted")]).await?;
            let metric = NewMetric {
                organization_id: Some(world.owner.organization_id),
                ..NewMetric::new(Event::QualityLow, Severity::Warn)
            };
            insert_metric(tx, &metric).await
        })
        .await
        .unwrap();
    world.finish(&claimed).await.unwrap();
    let claimed = world.bring_to(&worker, Stage::Structure).await;
    world.finish(&claimed).await.unwrap();
    store
        .with_tenant(&world.owner, async |tx| {
            let limits = get_tier_settings(tx, Tier::Standard).await?;
            document::reserve_upload(tx, course.id, 1, &limits).await?;
            generation::request_cancel(tx, course.id).await
        })
        .await
        .unwrap();
    library::fill(&world, course.id).await;
    world
}

/// What everybody who is signed in may read.
const OPEN_TABLES: [&str; 2] = ["tier_settings", "generation_transitions"];
/// What is nobody's, or only there at times.
const EMPTY_TABLES: [&str; 3] = ["removed_files", "generation_slots", "installation_secrets"];

async fn tables(connection: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar(
        "select c.relname::text from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
         and c.relname <> '_sqlx_migrations' order by 1",
    )
    .fetch_all(connection)
    .await
    .unwrap()
}

/// Rows of the table that these claims show; `None`: the table may not be read at all.
async fn count_as(connection: &mut PgConnection, claims: &str, table: &str, which: &str) -> Option<i64> {
    let mut tx = connection.begin().await.unwrap();
    sqlx::query(
        "select set_config('role', 'authenticated', true), set_config('request.jwt.claims', $1, true)",
    )
    .bind(claims)
    .execute(&mut *tx)
    .await
    .unwrap();
    let sql = sqlx::AssertSqlSafe(format!("select count(*) from {table} where {which}"));
    match sqlx::query_scalar(sql).fetch_one(&mut *tx).await {
        Ok(count) => Some(count),
        Err(refused) => {
            let code = refused
                .as_database_error()
                .and_then(|error| error.code().map(String::from));
            assert_eq!(code.as_deref(), Some("42501"), "{table}: {refused}");
            None
        }
    }
}

#[tokio::test]
async fn forged_and_missing_claims_see_nothing_in_any_table() {
    let world = Box::pin(full_world()).await;
    let mut connection = world.superuser().await;
    let organization = world.owner.organization_id;
    let nobody = UserId::generate();
    let elsewhere = OrganizationId::generate();
    let forged = [
        String::new(),
        "{}".to_owned(),
        r#"{"user_role":"admin"}"#.to_owned(),
        r#"{"role":"service_role"}"#.to_owned(),
        format!(r#"{{"user_role":"owner","organization_id":"{organization}"}}"#),
        format!(r#"{{"sub":"{}"}}"#, world.owner.user_id),
        format!(
            r#"{{"sub":"{}","organization_id":"{organization}"}}"#,
            world.owner.user_id
        ),
        format!(
            r#"{{"sub":"{}","user_role":"admin","organization_id":"{elsewhere}"}}"#,
            world.owner.user_id
        ),
        format!(
            r#"{{"sub":"{}","user_role":"instructor","organization_id":"{elsewhere}"}}"#,
            world.owner.user_id
        ),
        format!(r#"{{"sub":"{nobody}","user_role":"student","organization_id":"{elsewhere}"}}"#),
    ];
    for table in tables(&mut connection).await {
        if OPEN_TABLES.contains(&table.as_str()) {
            continue;
        }
        let sql = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        let all: i64 = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
        assert!(
            all > 0 || EMPTY_TABLES.contains(&table.as_str()),
            "{table} has no row to hide"
        );
        for claims in &forged {
            let seen = count_as(&mut connection, claims, &table, "true").await;
            // Some tables hide single columns, so `count(*)` itself may be refused.
            assert!(matches!(seen, None | Some(0)), "{table} with {claims}: {seen:?}");
        }
    }
}

#[tokio::test]
async fn no_table_shows_another_tenants_rows() {
    let world = Box::pin(full_world()).await;
    let stranger = person(world.store(), "Beta", Tier::Premium, Role::Admin).await;
    let superadmin = person(world.store(), "Operators", Tier::Premium, Role::Superadmin).await;
    let mut connection = world.superuser().await;
    let claims = |actor: &Actor| {
        serde_json::json!({
            "sub": actor.user_id, "user_role": actor.role, "organization_id": actor.organization_id
        })
        .to_string()
    };
    let tenants: Vec<String> = sqlx::query_scalar(
        "select distinct table_name::text from information_schema.columns
         where table_schema = 'public' and column_name = 'organization_id'
           and table_name in (select relname from pg_class where relkind = 'r') order by 1",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(tenants.len() > 15, "{tenants:?}");
    let foreign = format!("organization_id = '{}'", world.owner.organization_id);
    for table in &tenants {
        let seen = count_as(&mut connection, &claims(&stranger), table, &foreign).await;
        assert!(matches!(seen, None | Some(0)), "{table}: {seen:?}");
        let by_student = Actor {
            role: Role::Student,
            ..world.owner
        };
        let seen = count_as(&mut connection, &claims(&by_student), table, &foreign).await;
        let may_see_self = ["users", "api_keys", "questions"].contains(&table.as_str());
        assert!(
            may_see_self || matches!(seen, None | Some(0)),
            "{table} as a student: {seen:?}"
        );
        if let Some(count) = count_as(&mut connection, &claims(&superadmin), table, &foreign).await {
            assert!(count > 0, "a superadmin reads {table}");
        }
    }
}

#[tokio::test]
async fn people_may_call_only_what_is_meant_for_them() {
    let world = World::new().await;
    let open: Vec<String> = sqlx::query_scalar(
        "select p.proname::text from pg_proc p where p.pronamespace in ('app'::regnamespace, 'public'::regnamespace)
           and has_function_privilege('authenticated', p.oid, 'execute') order by 1",
    )
    .fetch_all(&mut world.superuser().await)
    .await
    .unwrap();
    assert_eq!(
        open,
        [
            "claim_organization",
            "claim_role",
            "find_own_start",
            "get_generation_summary",
            "guard_new_generation_status",
            "new_progress",
            "new_webhook_secret",
            "raise_revision",
            "record_audit",
            "stuck_after",
            "touch_updated_at",
            "visible_organizations",
        ]
    );
}

#[tokio::test]
async fn people_cannot_write_what_the_program_writes() {
    let world = World::new().await;
    let course = world.course("Mine").await;
    let mut connection = world.superuser().await;
    let claims = serde_json::json!({
        "sub": world.owner.user_id, "user_role": "instructor", "organization_id": world.owner.organization_id
    });
    for statement in [
        "update courses set generation_status = 'pending'",
        "update courses set owner_id = owner_id",
        "update courses set organization_id = organization_id",
        "update generations set budget_usd_micros = 1",
        "delete from jobs",
        "select update_course_progress((select id from courses limit 1), 1, 'completed', '')",
        "select app.advance_generation_status((select id from courses limit 1), 'pending', false)",
        "insert into tier_settings select * from tier_settings",
        "select * from workers",
        "select * from credentials",
        "select * from refresh_tokens",
        "select key_hash from api_keys",
        "update api_keys set key_hash = key_hash",
        "update users set organization_id = organization_id",
        "update users set email = 'x@x'",
        "update organizations set storage_used_bytes = 0",
        "update generation_slots set generation_id = null",
        "delete from generation_events",
        "insert into audit_log (actor_role, action, target) values ('x', 'x', 'x')",
        "delete from audit_log",
        "update webhook_deliveries set state = 'delivered'",
        "update webhook_endpoints set secret = 'x'",
        "insert into webhook_endpoints (id, organization_id, url) select gen_random_uuid(), id, 'x' from organizations",
        "delete from documents",
        "insert into upload_reservations select * from upload_reservations",
    ] {
        let mut tx = connection.begin().await.unwrap();
        sqlx::query(
            "select set_config('role', 'authenticated', true), set_config('request.jwt.claims', $1, true)",
        )
        .bind(claims.to_string())
        .execute(&mut *tx)
        .await
        .unwrap();
        let refused = sqlx::query(statement).execute(&mut *tx).await.unwrap_err();
        assert_eq!(
            refused.as_database_error().unwrap().code().unwrap(),
            "42501",
            "{statement}"
        );
    }
    let mut tx = connection.begin().await.unwrap();
    sqlx::query(
        "select set_config('role', 'authenticated', true), set_config('request.jwt.claims', $1, true)",
    )
    .bind(claims.to_string())
    .execute(&mut *tx)
    .await
    .unwrap();
    let updated = sqlx::query("update courses set title = 'Renamed', status = 'published' where id = $1")
        .bind(course.id.as_uuid())
        .execute(&mut *tx)
        .await
        .unwrap();
    assert_eq!(
        updated.rows_affected(),
        1,
        "an owner edits the inputs and publishes"
    );
}

#[tokio::test]
async fn admins_cancel_in_their_organization_only() {
    let world = World::new().await;
    let store = world.store();
    let (course, _) = world.started().await;
    let id = course.id;
    let stranger = person(store, "Beta", Tier::Free, Role::Admin).await;
    let other = colleague(store, &world.owner, Role::Instructor, "other@alpha.example").await;
    let admin = colleague(store, &world.owner, Role::Admin, "admin@alpha.example").await;
    for actor in [stranger, other] {
        let refused = store
            .with_tenant(&actor, async |tx| generation::request_cancel(tx, id).await)
            .await;
        assert!(matches!(refused, Err(StoreError::NotFound { .. })), "{refused:?}");
    }
    let outcome = store
        .with_tenant(&admin, async |tx| generation::request_cancel(tx, id).await)
        .await
        .unwrap();
    assert_eq!(outcome, generation::CancelOutcome::Cancelled);
}

#[tokio::test]
async fn every_table_of_a_tenant_is_guarded() {
    let world = World::new().await;
    let open: Vec<String> = sqlx::query_scalar(
        "select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname = 'public' and c.relkind = 'r' and c.relname <> '_sqlx_migrations'
           and (not c.relrowsecurity or not c.relforcerowsecurity
                or not exists (select from pg_policy p where p.polrelid = c.oid))",
    )
    .fetch_all(&mut world.superuser().await)
    .await
    .unwrap();
    assert_eq!(open, Vec::<String>::new());
    let for_all: Vec<String> = sqlx::query_scalar(
        "select tablename || '.' || policyname from pg_policies
         where schemaname = 'public' and cmd = 'ALL' and not roles = '{service_role}'",
    )
    .fetch_all(&mut world.superuser().await)
    .await
    .unwrap();
    assert_eq!(for_all, Vec::<String>::new(), "FOR ALL would widen every SELECT");
}

#[tokio::test]
async fn courses_are_found_by_id_slug_and_prefix() {
    let world = World::new().await;
    let store = world.store();
    let first = world.course("Основы Rust").await;
    let second = world.course("Основы Rust").await;
    assert_eq!(first.slug, "osnovy-rust");
    assert!(second.slug.starts_with("osnovy-rust-"), "{}", second.slug);
    let find = async |key: &str| {
        store
            .with_tenant(&world.owner, async |tx| course::find_course(tx, key).await)
            .await
    };
    assert_eq!(find(&first.id.to_string()).await.unwrap(), first);
    assert_eq!(find("osnovy-rust").await.unwrap().id, first.id);
    let id = second.id.to_string();
    assert_eq!(find(&id[..id.len() - 1]).await.unwrap().id, second.id);
    assert!(
        matches!(find(&id[..4]).await, Err(StoreError::Ambiguous { .. })),
        "made in the same minute"
    );
    assert!(matches!(find("no-such").await, Err(StoreError::NotFound { .. })));
    assert!(matches!(find("%").await, Err(StoreError::NotFound { .. })));
    assert!(matches!(
        find(&CourseId::generate().to_string()).await,
        Err(StoreError::NotFound { .. })
    ));
}
