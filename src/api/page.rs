//! Pages of lists: `limit`, `marker`, `sort`, and the link to the next page.

use actix_web::HttpRequest;
use actix_web::http::header::HOST;
use serde::Serialize;
use url::form_urlencoded;
use utoipa::openapi::path::ParameterIn;
use utoipa::{IntoParams, ToSchema};

use super::ApiState;
use super::v1::schema::{Flag, Word};
use crate::error::{Error, Result};
use crate::ids::SnapshotId;
use crate::store::{Page, SortKey};

/// A query, as pairs. Every name is known.
pub struct Query(Vec<(String, String)>);

/// What every list takes: whose things, and which page of them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListParams {
    /// Only things of this project; of the token's, if there is none.
    #[param(value_type = Option<Word>)]
    pub project_id: Option<String>,
    /// Whether the things of all projects are listed. `project_id` goes first.
    #[param(value_type = Option<Flag>)]
    pub all_projects: Option<String>,
    /// Longest page; `[api] max_limit` (1000), if there is none or more is asked for.
    #[param(minimum = 1, maximum = 9223372036854775807_i64)]
    pub limit: Option<i64>,
    /// Id of the last member of the page before. One that does not exist is a 400.
    #[param(value_type = Option<SnapshotId>)]
    pub marker: Option<String>,
}

/// The order of a list of what has names.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct NameSortParam {
    /// `created_at` or `name`, and `:asc` or `:desc`: `created_at:desc`, newest first, if there is none; `:desc` if only that is left out.
    #[param(pattern = "^(created_at|name)(:asc|:desc)?$")]
    pub sort: Option<String>,
}

/// The order of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SortParam {
    /// `created_at:desc`, newest first (the default, also `created_at`), or `created_at:asc`.
    #[param(pattern = "^created_at(:asc|:desc)?$")]
    pub sort: Option<String>,
}

/// What every list can be sorted by.
pub const BY_TIME: [(&str, SortKey); 1] = [("created_at", SortKey::CreatedAt)];
/// What lists of what has names can be sorted by.
pub const BY_TIME_OR_NAME: [(&str, SortKey); 2] = [("created_at", SortKey::CreatedAt), ("name", SortKey::Name)];

/// No parameter of one's own.
#[derive(IntoParams)]
pub struct NoParams {}

/// A link.
#[derive(Serialize, ToSchema)]
pub struct Link {
    /// What it is: `next`, `self`, `describedby`.
    pub rel: &'static str,
    /// Where it leads.
    pub href: String,
}

fn names<Params: IntoParams>() -> Vec<String> {
    Params::into_params(|| Some(ParameterIn::Query)).into_iter().map(|parameter| parameter.name).collect()
}

impl Query {
    /// Reads the query of a request for a list: its filters, and [`ListParams`] and [`SortParam`].
    ///
    /// # Errors
    /// `BadRequest` naming an unknown or repeated parameter.
    pub fn of<Filters: IntoParams>(request: &HttpRequest) -> Result<Self> {
        Self::read(request, &[names::<Filters>(), names::<ListParams>(), names::<SortParam>()].concat())
    }

    /// Reads the query of a request that has these parameters only: its own, and those that it shares with others.
    ///
    /// # Errors
    /// As [`Query::of`].
    pub fn only<Own: IntoParams, Shared: IntoParams>(request: &HttpRequest) -> Result<Self> {
        Self::read(request, &[names::<Own>(), names::<Shared>()].concat())
    }

    /// Refuses a query.
    ///
    /// # Errors
    /// As [`Query::of`].
    pub fn none(request: &HttpRequest) -> Result<()> {
        Self::read(request, &[]).map(drop)
    }

    fn read(request: &HttpRequest, known: &[String]) -> Result<Self> {
        let pairs: Vec<(String, String)> = form_urlencoded::parse(request.query_string().as_bytes())
            .map(|(key, value)| (key.into_owned(), value.into_owned()))
            .collect();
        for (place, (key, value)) in pairs.iter().enumerate() {
            if !known.contains(key) {
                let names = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(Error::bad_field(key, format!("There is no query parameter {key}."))
                    .remedy(format!("Those are: {names}.")));
            }
            if pairs[..place].iter().any(|(other, _)| other == key) {
                return Err(Error::bad_field(key, format!("The query parameter {key} is given twice.")));
            }
            if value.contains(char::is_control) {
                return Err(Error::bad_field(key, format!("The query parameter {key} contains control characters.")));
            }
        }
        Ok(Self(pairs))
    }

    /// A parameter's text.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// A parameter that is a whole number.
    ///
    /// # Errors
    /// `BadRequest` naming it.
    pub fn number(&self, key: &str) -> Result<Option<i64>> {
        let wrong = |text| Error::bad_field(key, format!("{key} is a whole number, not {text}."));
        self.text(key).map(|text| text.parse().map_err(|_| wrong(text))).transpose()
    }

    /// A parameter that is a boolean.
    ///
    /// # Errors
    /// `BadRequest` naming it.
    pub fn flag(&self, key: &str) -> Result<bool> {
        match self.text(key) {
            None => Ok(false),
            Some(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" => Ok(true),
                "false" | "0" | "no" => Ok(false),
                _ => Err(Error::bad_field(key, format!("{key} is true or false, not {text}."))),
            },
        }
    }

    /// The page that is asked for, in one of these orders: by creation, `created_at:desc`, unless told otherwise.
    ///
    /// # Errors
    /// `BadRequest` naming the parameter.
    pub fn page(&self, limit_max: u64, keys: &[(&str, SortKey)]) -> Result<Page> {
        let limit = match self.text("limit") {
            None => limit_max,
            Some(text) => match text.parse::<i64>() {
                Ok(limit) if limit > 0 => limit.unsigned_abs().min(limit_max),
                _ => return Err(Error::bad_field("limit", format!("limit is a number above 0, not {text}."))),
            },
        };
        let sort = self.text("sort").unwrap_or("created_at:desc");
        let (word, direction) = sort.split_once(':').unwrap_or((sort, "desc"));
        let key = keys.iter().find(|(name, _)| *name == word).map(|(_, key)| *key);
        let (Some(key), true) = (key, matches!(direction, "asc" | "desc")) else {
            let names: Vec<_> = keys.iter().map(|(name, _)| *name).collect();
            return Err(Error::bad_field("sort", format!("Lists cannot be sorted by {sort}."))
                .remedy(format!("Sort by {}, followed by :asc or :desc.", names.join(" or "))));
        };
        Ok(Page { limit, marker: self.text("marker").map(str::to_owned), key, ascending: direction == "asc" })
    }

    /// The links of a list: to the next page, if this one is full.
    #[must_use]
    pub fn links(
        &self,
        state: &ApiState,
        request: &HttpRequest,
        page: &Page,
        last: Option<&str>,
        count: usize,
    ) -> Vec<Link> {
        let (Some(last), true) = (last, count as u64 >= page.limit) else { return vec![] };
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (key, value) in self.0.iter().filter(|(key, _)| key != "marker") {
            query.append_pair(key, value);
        }
        query.append_pair("marker", last);
        let href = format!("{}{}?{}", base(state, request), request.path(), query.finish());
        vec![Link { rel: "next", href }]
    }
}

/// What links begin with.
#[must_use]
pub fn base(state: &ApiState, request: &HttpRequest) -> String {
    match &state.settings.public_endpoint {
        Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
        None if state.settings.proxy_headers => {
            let connection = request.connection_info();
            format!("{}://{}", connection.scheme(), connection.host())
        }
        None => {
            let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
            format!("http://{}", host.unwrap_or_else(|| request.app_config().host()))
        }
    }
}
