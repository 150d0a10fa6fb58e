use sqlx::{Executor, SqlSafeStr};
use store::testkit;

#[tokio::test]
async fn every_statement_prepares() {
    let database = testkit::database().await.unwrap();
    let mut connection = database.superuser().await.unwrap();
    let statements = testkit::statements();
    assert!(statements.len() > 50, "the list is complete");
    let mut faults = Vec::new();
    for (module, name, sql) in statements {
        if let Err(refused) = connection.prepare(sql.into_sql_str()).await {
            faults.push(format!("{module}::{name}: {refused}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let wrong = connection
        .prepare("select titel from courses".into_sql_str())
        .await;
    assert!(wrong.is_err(), "a wrong statement is noticed");
}
