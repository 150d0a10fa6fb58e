use sqlx::Connection;
use store::testkit;

#[tokio::test]
async fn migrating_again_changes_nothing() {
    let database = testkit::empty_database().await.unwrap();
    let first = database.open().await.unwrap();
    let second = database.open().await.unwrap();
    assert!(first.is_ready().await && second.is_ready().await);
    first.close().await.unwrap();
    second.close().await.unwrap();
}

/// A database as Supabase gives it: roles, the schema `auth` and its functions are there and belong to others.
#[tokio::test]
async fn an_existing_auth_schema_is_left_alone() {
    let database = testkit::empty_database().await.unwrap();
    let mut connection = database.superuser().await.unwrap();
    sqlx::raw_sql(
        "create schema auth;
         create function auth.jwt() returns jsonb language sql stable as
           $$ select nullif(current_setting('request.jwt.claims', true), '')::jsonb $$;
         create function auth.uid() returns uuid language sql stable as $$ select (auth.jwt() ->> 'sub')::uuid $$;
         comment on function auth.jwt() is 'not ours';
         grant usage on schema auth to public;",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let store = database.open().await.unwrap();
    let comment: Option<String> = sqlx::query_scalar("select obj_description('auth.jwt()'::regprocedure)")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(comment.as_deref(), Some("not ours"));
    store.close().await.unwrap();
    connection.close().await.unwrap();
}

/// The owner of a managed database is not a superuser, and row-level security is forced for it too.
#[tokio::test]
async fn an_ordinary_owner_can_migrate_and_work() {
    let database = testkit::empty_database().await.unwrap();
    let mut connection = database.superuser().await.unwrap();
    let owner: String = sqlx::query_scalar("select 'owner_of_' || current_database()")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    let sql = format!(
        "create role {owner} createrole; grant all on schema public to {owner};
         do $$ begin execute format('alter database %I owner to {owner}', current_database()); end $$;
         grant anon, authenticated, service_role to {owner};
         set session authorization {owner};"
    );
    // Roles are there already, as on a server with another database of this program.
    let roles = testkit::database().await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
        .execute(&mut connection)
        .await
        .unwrap();
    store::testkit::migrate(&mut connection).await.unwrap();
    // The trigger's writes pass the forced policies, and the superadmin's list of organizations is not empty.
    sqlx::raw_sql(
        "begin; set local role service_role;
         insert into organizations (id, name) values (gen_random_uuid(), 'A');
         insert into users (id, organization_id, email, role) select gen_random_uuid(), id, 'a@a', 'superadmin' from organizations;
         insert into courses (id, organization_id, owner_id, slug, title, language, style)
           select gen_random_uuid(), organization_id, id, 's', 't', 'en', 'academic' from users;
         select update_course_progress(id, 1, 'completed', 'm') from courses;
         commit;",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let mut tx = connection.begin().await.unwrap();
    sqlx::raw_sql(
        "select set_config('request.jwt.claims', jsonb_build_object('user_role', 'superadmin')::text, true);
         set local role authenticated;",
    )
    .execute(&mut *tx)
    .await
    .unwrap();
    let seen: (i64, i64) = sqlx::query_as(
        "select (select count(*) from courses), (select count(*) from generation_status_history)",
    )
    .fetch_one(&mut *tx)
    .await
    .unwrap();
    assert_eq!(seen, (1, 2));
    drop(tx);
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("reset session authorization; reassign owned by {owner} to postgres; drop owned by {owner}; alter database {} owner to postgres; drop role {owner}", &owner["owner_of_".len()..])))
        .execute(&mut connection)
        .await
        .unwrap();
    drop(roles);
}
