//! The admin port: `/livez`, `/readyz`, `/metrics`. Speaks without authentication, so it shows no secret and
//! belongs on a private address.

use axum::Json;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::readiness::{Readiness, Report};
use crate::telemetry::Metrics;

/// What Prometheus expects.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The routes of the admin port.
pub fn router(readiness: Readiness, metrics: Metrics) -> Router {
    Router::new()
        .route("/livez", get(async || ([(CACHE_CONTROL, "no-store")], "ok\n")))
        .route("/readyz", get(readyz).with_state(readiness))
        .route("/metrics", get(render).with_state(metrics))
}

/// 200 when all checks are well, else 503 with the reasons; `?verbose` lists every check as JSON.
async fn readyz(State(readiness): State<Readiness>, RawQuery(query): RawQuery) -> Response {
    let report = readiness.check().await;
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let verbose = query.unwrap_or_default().split('&').any(|pair| pair.split('=').next() == Some("verbose"));
    let body = if verbose { Json(&report).into_response() } else { sentences(&report).into_response() };
    (status, [(CACHE_CONTROL, "no-store")], body).into_response()
}

fn sentences(report: &Report) -> String {
    if report.ready {
        return "ready\n".to_owned();
    }
    let draining = report.draining.then(|| "draining\n".to_owned());
    let failed = report.checks.iter().filter(|finding| !finding.ok);
    let failed = failed
        .map(|finding| format!("{}: {}\n", finding.name, finding.reason.as_deref().unwrap_or("not ready")));
    draining.into_iter().chain(failed).collect()
}

async fn render(State(metrics): State<Metrics>) -> Response {
    match metrics.render().await {
        Ok(text) => ([(CONTENT_TYPE, EXPOSITION)], text).into_response(),
        Err(error) => {
            tracing::error!(error = %error, "Metrics cannot be rendered: {error}.");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt;

    async fn ask(readiness: &Readiness, path: &str) -> (u16, String) {
        let router = router(readiness.clone(), Metrics::install(&[]));
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let answer = router.oneshot(request).await.expect("never fails");
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
        (status, String::from_utf8(body.to_vec()).expect("UTF-8"))
    }

    #[tokio::test]
    async fn a_process_is_ready_when_all_checks_are_well() {
        let readiness = Readiness::default();
        assert_eq!(ask(&readiness, "/readyz").await, (200, "ready\n".to_owned()));
        readiness.add("nats", || async { Ok(()) });
        readiness.add("store", || async { Err("connection refused".to_owned()) });
        assert_eq!(ask(&readiness, "/readyz").await, (503, "store: connection refused\n".to_owned()));
        let (status, json) = ask(&readiness, "/readyz?verbose").await;
        let checks =
            r#"[{"name":"nats","ok":true},{"name":"store","ok":false,"reason":"connection refused"}]"#;
        assert_eq!((status, json), (503, format!(r#"{{"ready":false,"draining":false,"checks":{checks}}}"#)));
        readiness.add("store", || async { Ok(()) });
        assert_eq!(ask(&readiness, "/readyz").await.0, 200);
        readiness.drain();
        assert_eq!(ask(&readiness, "/readyz").await, (503, "draining\n".to_owned()));
        assert_eq!(ask(&readiness, "/livez").await.0, 200);
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_is_a_reason() {
        let readiness = Readiness::default();
        readiness.add("vault", std::future::pending);
        assert_eq!(ask(&readiness, "/readyz").await, (503, "vault: no answer within 2000 ms\n".to_owned()));
    }

    #[tokio::test]
    async fn metrics_are_rendered_as_histograms_and_never_as_summaries() {
        let metrics = Metrics::install(&[]);
        metrics::histogram!("signalbox_admin_test_seconds").record(0.3);
        metrics::histogram!("signalbox_admin_test_bytes").record(300.0);
        metrics::counter!("signalbox_admin_test_total").increment(2);
        let (status, text) = ask(&Readiness::default(), "/metrics").await;
        assert_eq!((status, text.contains("quantile=")), (200, false), "{text}");
        assert!(text.contains("signalbox_admin_test_seconds_bucket{le=\"0.5\"} 1"), "{text}");
        assert!(text.contains("signalbox_admin_test_bytes_bucket{le="), "{text}");
        assert!(text.contains("signalbox_admin_test_total 2"), "{text}");
        assert!(text.contains("signalbox_build_info{version="), "{text}");
        drop(metrics);
    }
}
