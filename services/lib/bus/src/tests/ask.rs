//! Questions: answered, not answered, and by nobody.

use std::time::Duration;

use model::subject;
use tokio_util::sync::CancellationToken;

use super::{Town, eventually, soon};
use crate::Error;

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_question_is_answered_by_one_of_the_group() {
    let town = Town::start().await;
    let stopping = CancellationToken::new();
    let subject = subject::ask("test", "double");
    let asked = town.bus.ask::<u32, u32>(&subject, &1, PATIENCE).await;
    assert!(matches!(asked, Err(Error::NoResponders { .. })), "{asked:?}");
    let mut tasks = Vec::new();
    for _ in 0..2 {
        let answers = town.bus.answer(&subject, "test", |number: u32| async move { number * 2 });
        tasks.push(tokio::spawn(answers.until(stopping.clone())));
    }
    let first =
        eventually("answer", || async { town.bus.ask::<u32, u32>(&subject, &21, PATIENCE).await.ok() }).await;
    assert_eq!(first, 42);
    let (bus, subject_of) = (&town.bus, &subject);
    let asks = (0..50_u32)
        .map(|number| async move { (number, bus.ask::<u32, u32>(subject_of, &number, PATIENCE).await) });
    for (number, answer) in futures_util::future::join_all(asks).await {
        assert_eq!(answer.expect("answered"), number * 2);
    }
    stopping.cancel();
    for task in tasks {
        soon("end", task).await.expect("no panic").expect("in order");
    }
    let asked = town.bus.ask::<u32, u32>(&subject, &1, PATIENCE).await;
    assert!(matches!(asked, Err(Error::NoResponders { .. })), "{asked:?}");
}

#[tokio::test]
async fn who_cannot_answer_says_so() {
    let town = Town::start().await;
    let subject = subject::ask("test", "fails");
    let answers = town.bus.answer(&subject, "test", |number: u32| async move {
        assert!(number != 13, "a panic of the test");
        number
    });
    let _task = tokio::spawn(answers.until(CancellationToken::new()));
    eventually("answer", || async { town.bus.ask::<u32, u32>(&subject, &1, PATIENCE).await.ok() }).await;
    let unreadable = town.bus.ask::<&str, u32>(&subject, &"ä", PATIENCE).await;
    assert!(
        matches!(&unreadable, Err(Error::NotAnswered { detail, .. }) if detail.contains("cannot be read")),
        "{unreadable:?}"
    );
    let failed = town.bus.ask::<u32, u32>(&subject, &13, PATIENCE).await;
    assert!(matches!(&failed, Err(Error::NotAnswered { .. })), "{failed:?}");
    let odd = town.bus.ask::<u32, String>(&subject, &1, PATIENCE).await;
    assert!(matches!(&odd, Err(Error::Json { .. })), "{odd:?}");
}

#[tokio::test]
async fn a_late_answer_is_a_timeout() {
    let town = Town::start().await;
    let subject = subject::ask("test", "slow");
    let answers = town.bus.answer(&subject, "test", |slow: bool| async move {
        if slow {
            std::future::pending::<()>().await;
        }
    });
    let _task = tokio::spawn(answers.until(CancellationToken::new()));
    eventually("answer", || async { town.bus.ask::<bool, ()>(&subject, &false, PATIENCE).await.ok() }).await;
    let asked = town.bus.ask::<bool, ()>(&subject, &true, Duration::from_millis(200)).await;
    assert!(matches!(asked, Err(Error::Timeout { .. })), "{asked:?}");
}
