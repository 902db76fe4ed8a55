//! `/metrics` on a listener of its own, which callers of the API need not reach: it asks for no token.

use std::net::TcpListener;

use actix_web::dev::Server;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{App as ActixApp, HttpResponse, HttpServer, web};

use crate::error::{Error, Result};
use crate::measures;
use crate::store::Store;

/// Serves the measures of this process until the returned server is stopped.
///
/// # Errors
/// When the listener cannot be used.
pub fn serve(listener: TcpListener, store: Store) -> Result<Server> {
    let data = web::Data::new(store);
    let app = move || ActixApp::new().app_data(data.clone()).route("/metrics", web::get().to(get));
    let server = HttpServer::new(app).workers(1).disable_signals().listen(listener);
    let server = server.map_err(|error| Error::unavailable(format!("/metrics cannot be served ({error}).")))?;
    Ok(server.run())
}

async fn get(store: web::Data<Store>) -> HttpResponse {
    let gauges = match store.gauges().await {
        Ok(gauges) => Some(gauges),
        Err(error) => {
            tracing::warn!(error = %error.chain(), "what waits cannot be counted");
            None
        }
    };
    HttpResponse::Ok().insert_header((CONTENT_TYPE, measures::CONTENT_TYPE)).body(measures::render(gauges.as_ref()))
}
