//! Questions to documents are counted and limited.

use domain::organization::Tier;
use domain::usage::{MicroUsd, TokenUsage};
use domain::user::{Actor, Role};
use store::question::{Admission, QuestionLimits, begin_question, finish_question};

use crate::world::{World, person};

const LIMITS: QuestionLimits = QuestionLimits {
    an_hour: 3,
    cost_a_day: MicroUsd(100),
};

async fn ask(world: &World, actor: &Actor, limits: QuestionLimits) -> Admission {
    let course = world.course("Questions").await.id;
    world
        .store()
        .with_tenant(actor, async |tx| begin_question(tx, course, limits).await)
        .await
        .unwrap()
}

#[tokio::test]
async fn questions_are_limited_by_number_and_by_cost() {
    let world = World::new().await;
    let owner = world.owner;
    let Admission::Admitted(first) = ask(&world, &owner, LIMITS).await else {
        panic!("the first question is admitted");
    };
    world
        .store()
        .with_system(async |tx| {
            finish_question(tx, first, Some("small"), TokenUsage::new(900, 50), MicroUsd(100)).await
        })
        .await
        .unwrap();
    assert_eq!(
        ask(&world, &owner, LIMITS).await,
        Admission::TooCostly(MicroUsd(100))
    );
    let generous = QuestionLimits {
        cost_a_day: MicroUsd(101),
        ..LIMITS
    };
    for _ in 0..2 {
        assert!(matches!(
            ask(&world, &owner, generous).await,
            Admission::Admitted(_)
        ));
    }
    assert_eq!(ask(&world, &owner, generous).await, Admission::TooMany(3));
    // Somebody else is not limited by it.
    let other = person(world.store(), "Beta", Tier::Standard, Role::Instructor).await;
    assert!(matches!(
        ask(&world, &other, LIMITS).await,
        Admission::Admitted(_)
    ));
}
