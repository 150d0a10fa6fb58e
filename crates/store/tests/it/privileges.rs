//! What the API's roles may, whatever the server gives away by itself.

use domain::id::ApiKeyId;
use domain::user::Role;
use sqlx::{Connection, PgConnection};
use store::api_key::{self, NewApiKey, Scope};
use store::testkit;

use crate::world::{World, colleague};

/// The last migration before the one that takes back what a server gives away.
const BEFORE: i64 = 20_261_122_009_999;
/// That migration.
const GUARDED: i64 = 20_261_122_010_000;

/// What Supabase sets up in every project.
const GENEROUS: &str = "
    alter default privileges in schema public grant all on tables to anon, authenticated, service_role;
    alter default privileges in schema public grant all on sequences to anon, authenticated, service_role;
    alter default privileges in schema public grant all on functions to anon, authenticated, service_role;";

/// Every right of the roles that people act in, and of everybody, on what is in our schemas.
async fn rights(connection: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar(
        "with rights(thing, acl) as (
            select 'relation ' || c.relname, c.relacl from pg_class c
            where c.relnamespace in ('public'::regnamespace, 'app'::regnamespace)
            union all
            select 'column ' || c.relname || '.' || a.attname, a.attacl
            from pg_attribute a join pg_class c on c.oid = a.attrelid
            where c.relnamespace in ('public'::regnamespace, 'app'::regnamespace) and a.attacl is not null
            union all
            select 'function ' || p.proname, coalesce(p.proacl, acldefault('f', p.proowner)) from pg_proc p
            where p.pronamespace in ('public'::regnamespace, 'app'::regnamespace))
        select coalesce(nullif(r.grantee, 0)::regrole::text, 'public') || ' ' || r.privilege_type || ' ' || thing
        from rights, aclexplode(acl) as r
        where r.grantee in (0, 'anon'::regrole, 'authenticated'::regrole) order by 1",
    )
    .fetch_all(connection)
    .await
    .unwrap()
}

#[tokio::test]
async fn default_privileges_of_a_server_give_nothing() {
    // Makes the roles, too.
    let plain = testkit::database().await.unwrap();
    let expected = rights(&mut plain.superuser().await.unwrap()).await;
    let generous = testkit::empty_database().await.unwrap();
    let mut connection = generous.superuser().await.unwrap();
    sqlx::raw_sql(GENEROUS).execute(&mut connection).await.unwrap();
    generous.open().await.unwrap().close().await.unwrap();
    let found = rights(&mut connection).await;
    let more: Vec<_> = found.iter().filter(|right| !expected.contains(right)).collect();
    assert!(more.is_empty(), "given away: {more:#?}");
    assert_eq!(found, expected);
    let others: Vec<_> = found
        .iter()
        .filter(|right| !right.starts_with("authenticated "))
        .collect();
    assert!(others.is_empty(), "nobody else may anything: {others:?}");
    assert!(!found.iter().any(|right| right.ends_with("_sqlx_migrations")));
    let of_service: Vec<String> = sqlx::query_scalar(
        "select r.privilege_type from pg_class c, aclexplode(c.relacl) as r
        where c.relname = '_sqlx_migrations' and r.grantee = 'service_role'::regrole",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(of_service.is_empty(), "{of_service:?}");
}

#[tokio::test]
async fn what_is_granted_again_is_what_was_granted() {
    let database = testkit::empty_database().await.unwrap();
    let mut connection = database.superuser().await.unwrap();
    testkit::migrate_to(&mut connection, BEFORE).await.unwrap();
    let before = rights(&mut connection).await;
    testkit::migrate_to(&mut connection, GUARDED).await.unwrap();
    assert_eq!(rights(&mut connection).await, before);
}

/// The policies hold also where a server gave the columns away.
#[tokio::test]
async fn a_key_can_only_be_ended() {
    let world = World::new().await;
    let store = world.store();
    let admin = colleague(store, &world.owner, Role::Admin, "admin@alpha.example").await;
    let superadmin = colleague(store, &world.owner, Role::Superadmin, "root@alpha.example").await;
    let key = store
        .with_tenant(&admin, async |tx| {
            let new = NewApiKey {
                name: "mine".to_owned(),
                prefix: "cw_mine".to_owned(),
                key_hash: [7; 32],
                scopes: vec![Scope::Read],
                expires_at: None,
            };
            api_key::insert_api_key(tx, &new).await
        })
        .await
        .unwrap();
    let mut connection = world.superuser().await;
    sqlx::raw_sql("grant all on api_keys to authenticated")
        .execute(&mut connection)
        .await
        .unwrap();
    let claims = serde_json::json!({
        "sub": admin.user_id, "user_role": "admin", "organization_id": admin.organization_id,
    });
    let mut changes = async |sql: &str, id: ApiKeyId| {
        let mut tx = connection.begin().await.unwrap();
        sqlx::query(
            "select set_config('role', 'authenticated', true), set_config('request.jwt.claims', $1, true)",
        )
        .bind(claims.to_string())
        .execute(&mut *tx)
        .await
        .unwrap();
        let sql = format!("update api_keys set {sql} where id = '{id}'");
        let done = sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut *tx).await;
        let is_done = done.is_ok_and(|done| done.rows_affected() == 1);
        if is_done {
            tx.commit().await.unwrap();
        }
        is_done
    };
    for change in [
        format!("user_id = '{}'", superadmin.user_id),
        format!("user_id = '{}', revoked_at = now()", superadmin.user_id),
        "scopes = '{read,generate,admin}'".to_owned(),
        "key_hash = sha256('x'), revoked_at = now()".to_owned(),
        "expires_at = now() + interval '1 year', revoked_at = now()".to_owned(),
        "revoked_at = null".to_owned(),
    ] {
        assert!(!changes(&change, key.id).await, "{change}");
    }
    assert!(changes("revoked_at = now()", key.id).await);
    assert!(!changes("revoked_at = null", key.id).await, "it has ended");
}

#[tokio::test]
async fn a_course_moves_only_its_own_generation() {
    let world = World::new().await;
    let (_, started) = world.started().await;
    let other = world.course("Another").await;
    let mut connection = world.superuser().await;
    // What a person could do whom the server gave the columns away.
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "update courses set current_generation_id = '{0}', generation_status = 'pending' where id = '{1}';
         update courses set generation_status = 'cancelled' where id = '{1}';",
        started.generation_id, other.id
    )))
    .execute(&mut connection)
    .await
    .unwrap();
    let (status, events): (String, i64) = sqlx::query_as(
        "select g.status, (select count(*) from generation_events e where e.course_id = $2) from generations g
        where g.id = $1",
    )
    .bind(started.generation_id.as_uuid())
    .bind(other.id.as_uuid())
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!((status.as_str(), events), ("initializing", 0));
}
