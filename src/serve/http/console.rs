//! HTTP routes of the console.

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use crate::console::{self, ConsoleFile};

pub(super) fn router() -> Router {
    let page = || std::future::ready(file_response(console::page()));
    Router::new().route("/", get(page)).route("/console", get(page)).route("/console/{file}", get(find_file))
}

async fn find_file(Path(name): Path<String>) -> Response {
    console::find(&name).map_or_else(|| StatusCode::NOT_FOUND.into_response(), file_response)
}

fn file_response(file: &ConsoleFile) -> Response {
    let media_type = [(header::CONTENT_TYPE, file.media_type)];
    (media_type, axum::response::AppendHeaders(console::HEADERS), file.text).into_response()
}
