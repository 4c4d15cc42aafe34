//! What passed as a table: CSV as RFC 4180 has it, one row a span, endpoint, caller, model or route.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use model::ask::{Figures, Latency};
use runtime::Problem;
use runtime::json::Query;
use serde::Deserialize;
use store::{Facet, Totals};
use utoipa::IntoParams;

use super::{Asked, Which, integration};
use crate::access::Caller;
use crate::csv;
use crate::problems::of_store;
use crate::state::Api;

/// The columns after the first one.
const HEAD: &str = "requests,errors,cache_hits,request_bytes,response_bytes,cost_micros,unpriced_answers,input_tokens,\
cached_tokens,cache_write_tokens,output_tokens,timed_answers,p50_ms,p95_ms,p99_ms,reasons";

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct By {
    /// What a row is: `time` (the default), `endpoint`, `caller`, `model` or `route`. The last four have 100 rows at most, most
    /// calls first.
    by: Option<String>,
}

/// The same figures as CSV.
#[utoipa::path(get, path = "/integrations/{id}/usage/export", tag = "integrations",
    params(("id" = String, Path), Which, By),
    responses((status = 200, description = "CSV", content_type = "text/csv"), (status = 404, body = Problem),
        (status = 422, body = Problem)))]
pub(crate) async fn export(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Query(which): Query<Which>,
    Query(By { by }): Query<By>,
) -> Result<Response, Problem> {
    let asked = which.asked()?;
    let Asked { window, from, to, .. } = asked;
    let facet = match by.as_deref() {
        None | Some("time") => None,
        Some("endpoint") => Some(Facet::Endpoint),
        Some("caller") => Some(Facet::Caller),
        Some("model") => Some(Facet::Model),
        Some("route") => Some(Facet::Route),
        Some(_) => return Err(Problem::validation("/by", "must be time, endpoint, caller, model or route")),
    };
    let it = integration(&api, &caller, &id).await?;
    let rows: Vec<(String, Totals)> = match facet {
        None => {
            let rows = api.store.usage_history(&it.id, from, to, asked.rows()).await.map_err(of_store)?;
            asked.history(rows).into_iter().map(|(start, sum)| (start.to_string(), sum)).collect()
        }
        Some(facet) => api.store.usage_by(&it.id, facet, from, to).await.map_err(of_store)?,
    };
    let first = by.filter(|by| by != "time").unwrap_or_else(|| "start".to_owned());
    let mut table = format!("{first},{HEAD}\r\n");
    for (name, totals) in rows {
        table.push_str(&line(&name, totals.into()));
    }
    let mut response = table.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    headers.insert(
        header::CONTENT_DISPOSITION,
        HeaderValue::try_from(format!("attachment; filename=\"usage-{}-{}.csv\"", it.id, window.as_str()))
            .unwrap_or(HeaderValue::from_static("attachment")),
    );
    Ok(response)
}

/// A row. Reasons are `rate_limited=3 timeout=1`.
fn line(name: &str, figures: Figures) -> String {
    let Figures { requests, errors, reasons, cache_hits, request_bytes, response_bytes, .. } = figures;
    let Figures { cost_micros, tokens, latency, .. } = figures;
    let numbers = [
        requests,
        errors,
        cache_hits,
        request_bytes,
        response_bytes,
        cost_micros,
        tokens.unpriced_answers,
        tokens.input_tokens,
        tokens.cached_tokens,
        tokens.cache_write_tokens,
        tokens.output_tokens,
        latency.map_or(0, |latency| latency.answers),
    ];
    let percentiles = match latency {
        None => [const { String::new() }; 3],
        Some(Latency { p50_ms, p95_ms, p99_ms, .. }) => [p50_ms, p95_ms, p99_ms].map(|ms| ms.to_string()),
    };
    let reasons: Vec<String> =
        reasons.iter().map(|(reason, times)| format!("{}={times}", reason.as_str())).collect();
    let cells = [csv::cell(name)].into_iter().chain(numbers.iter().map(u64::to_string)).chain(percentiles);
    let cells: Vec<String> = cells.chain([csv::cell(&reasons.join(" "))]).collect();
    cells.join(",") + "\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_a_cell_for_each_column_and_no_formula() {
        let figures = Figures { requests: 3, errors: 1, ..Figures::default() };
        let line = line("=1+1", figures);
        assert_eq!(line.trim_end().split(',').count(), HEAD.split(',').count() + 1);
        assert!(line.starts_with("\"'=1+1\",3,1,0,"), "{line}");
    }
}
