use domain::id::CourseId;
use domain::stage::Stage;
use sqlx::Connection;
use store::generation::lifecycle::{self, FinishedStage, NextStep, StageResult};
use store::worker::{self, WorkerIdentity};
use store::{course, lesson, queue, testkit};

use crate::world::{LEASE, analysis, structure};

/// The last migration of the first release.
const FIRST_RELEASE: i64 = 20_261_121_999_999;

/// A generation whose job runs while the program is replaced: its worker is gone afterwards, the job goes on.
#[tokio::test]
async fn a_running_generation_of_the_first_release_goes_on() {
    let database = testkit::empty_database().await.unwrap();
    let mut connection = database.superuser().await.unwrap();
    testkit::migrate_to(&mut connection, FIRST_RELEASE).await.unwrap();
    sqlx::raw_sql(
        "begin;
         insert into organizations (id, name, tier) values (gen_random_uuid(), 'A', 'standard');
         insert into users (id, organization_id, email, role)
           select gen_random_uuid(), id, 'a@a', 'superadmin' from organizations;
         insert into courses (id, organization_id, owner_id, slug, title, language, style)
           select gen_random_uuid(), organization_id, id, 's', 't', 'en', 'academic' from users;
         insert into generations (id, course_id, organization_id, user_id, budget_usd_micros, seed, options)
           select gen_random_uuid(), id, organization_id, owner_id, 1000000, 7, '{\"lessons\": 10}' from courses;
         update courses c set current_generation_id = g.id, generation_status = 'pending' from generations g;
         select update_course_progress(id, 1, 'completed', 'm') from courses;
         select update_course_progress(id, 2, 'in_progress', 'm') from courses;
         insert into workers (id, host, process) values (gen_random_uuid(), 'old', 1);
         insert into jobs (id, organization_id, user_id, course_id, generation_id, stage, priority, state, attempt,
             worker_id, lease_until, started_at)
           select gen_random_uuid(), g.organization_id, g.user_id, g.course_id, g.id, 'analysis', 5, 'running', 1, w.id,
             now() - interval '1 s', now()
           from generations g, workers w;
         commit;",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let store = database.open().await.unwrap();
    let worker = WorkerIdentity::of_this_process();
    let rescued = store
        .with_system(async |tx| {
            worker::register(tx, &worker, 2).await?;
            queue::rescue_expired(tx).await
        })
        .await
        .unwrap();
    assert_eq!(rescued.len(), 1);
    let (made, planned) = (analysis(), structure(10));
    for stage in [
        Stage::Analysis,
        Stage::Structure,
        Stage::Content,
        Stage::Finalization,
    ] {
        let claimed = store
            .with_system(async |tx| queue::claim(tx, worker.id, None, LEASE).await)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(claimed.job.stage, stage);
        store
            .with_system(async |tx| {
                lifecycle::begin_stage(tx, &claimed.lease, &claimed.job, "begun").await?;
                let finished = FinishedStage {
                    lease: &claimed.lease,
                    job: &claimed.job,
                    result: match stage {
                        Stage::Analysis => StageResult::Analysis(&made),
                        Stage::Structure => StageResult::Structure(&planned),
                        _ => StageResult::Saved,
                    },
                    next: stage.next().map_or(NextStep::End, NextStep::Stage),
                    message: "next",
                };
                lifecycle::finish_stage(tx, &finished).await
            })
            .await
            .unwrap();
    }
    let (id, secrets): (uuid::Uuid, i64) =
        sqlx::query_as("select id, (select count(*) from webhook_secrets) from courses")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    assert_eq!(secrets, 1, "an organization of before can sign, too");
    let (course, lessons) = store
        .with_system(async |tx| {
            let id = CourseId::from_uuid(id);
            Ok((
                course::get_course(tx, id).await?,
                lesson::list_lessons(tx, id).await?,
            ))
        })
        .await
        .unwrap();
    assert_eq!(course.progress.percentage, 100);
    assert_eq!((course.structure, lessons.len()), (Some(planned), 10));
    store.close().await.unwrap();
}

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
