//! Answers questions: how is it now, would this configuration work, may this address be called.

use model::ask::{AdmitUrl, Admitted, Answer, Ping, Pong, Refused, TestIntegration};
use model::subject;
use tokio_util::sync::CancellationToken;
use vault::Path;

use crate::probe::{With, probe};
use crate::{Prober, observe};

fn refused<T>(code: &str, detail: impl Into<String>) -> Answer<T> {
    Answer::Refused(Refused {
        code: code.to_owned(),
        detail: detail.into(),
        line: None,
        column: None,
        near: Vec::new(),
    })
}

/// Answers until told to stop.
pub(crate) async fn answers(prober: Prober, stopping: CancellationToken) -> anyhow::Result<()> {
    let (one, two, three) = (prober.clone(), prober.clone(), prober.clone());
    let ping = prober.bus.answer(&subject::ask("prober", "ping"), "prober", move |question: Ping| {
        let prober = one.clone();
        async move { ping(&prober, &question).await }
    });
    let test =
        prober.bus.answer(&subject::ask("prober", "test"), "prober", move |question: TestIntegration| {
            let prober = two.clone();
            async move { test(&prober, &question).await }
        });
    let admit = prober.bus.answer(&subject::ask("prober", "admit"), "prober", move |question: AdmitUrl| {
        let prober = three.clone();
        async move { admit(&prober, &question) }
    });
    let (ping, test, admit) = tokio::join!(
        ping.until(stopping.clone()),
        test.until(stopping.clone()),
        admit.until(stopping.clone())
    );
    ping?;
    test?;
    admit?;
    Ok(())
}

async fn ping(prober: &Prober, question: &Ping) -> Answer<Pong> {
    let snapshot = prober.snapshot.borrow().clone();
    let found = snapshot.as_ref().and_then(|snapshot| {
        let it = snapshot.integrations.get(&question.integration)?;
        Some((it, it.key.as_ref().and_then(|key| snapshot.keys.get(key))))
    });
    let Some((it, key)) = found else {
        return refused("unknown_integration", format!("there is no integration `{}`", question.integration));
    };
    let began = model::Timestamp::now();
    match probe(prober, it, With::Active(key), None).await {
        Ok(seen) => {
            observe::tell(prober, it, &seen, began, "ping".to_owned()).await;
            Answer::Ok(Pong::from(&seen.0))
        }
        Err(why) => Answer::Ok(Pong::from(&why.seen(it))),
    }
}

async fn test(prober: &Prober, question: &TestIntegration) -> Answer<Pong> {
    let snapshot = prober.snapshot.borrow().clone();
    let key = question.integration.key.as_ref();
    let key = key.and_then(|key| snapshot.as_ref().and_then(|snapshot| snapshot.keys.get(key)));
    let with = match (&question.trial, question.version) {
        (Some(trial), _) => match Path::trial(trial) {
            Ok(path) => With::Trial(path),
            Err(error) => return refused("unknown_trial", error.to_string()),
        },
        (None, Some(version)) => With::Version(version),
        (None, None) => With::Active(key),
    };
    let it = &question.integration;
    let seen = probe(prober, it, with, None).await.map_or_else(|why| why.seen(it), |(seen, _)| seen);
    Answer::Ok(Pong::from(&seen))
}

fn admit(prober: &Prober, question: &AdmitUrl) -> Answer<Admitted> {
    match prober.egress.guard().check_url(&question.url) {
        Ok(_) => Answer::Ok(Admitted {}),
        Err(refusal) => refused("target_refused", refusal.to_string()),
    }
}
