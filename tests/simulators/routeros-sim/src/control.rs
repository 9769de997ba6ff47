//! The control port: HTTP and JSON over the operations of [`Router`].
//!
//! For tests and the demo; bodies are bounded, and a request that cannot be served says what would be.
//! Secrets do not come out here. The paths are documented in this
//! crate's README.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router as Routes};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as JsonValue, json};
use tokio::net::TcpListener;
use tracing::debug;

use crate::devices::{DeviceError, NewDevice};
use crate::engine::Row;
use crate::engine::packages::{PACKAGES, PackageState};
use crate::faults::{FaultsChange, FaultsError};
use crate::router::{FactError, FlashChange, Router, RowsError};
use crate::tables::menus;

/// The longest body; a row of a secret has a few hundred bytes.
const LONGEST_BODY_BYTES: usize = 64 * 1024;

/// Serves until it is aborted.
pub(crate) async fn serve(listener: TcpListener, router: Router) {
    if let Err(error) = axum::serve(listener, routes(router)).await {
        debug!(%error, "the control port ended");
    }
}

fn routes(router: Router) -> Routes {
    Routes::new()
        .route("/devices", get(devices).post(add_device))
        .route("/devices/{name}", get(device).delete(remove_device))
        .route("/devices/{name}/traffic", post(move_traffic))
        .route("/devices/{name}/reach", get(reach))
        .route("/state", get(state))
        .route("/writes", get(writes))
        .route("/menus/{*path}", get(menu))
        .route("/rows/{*path}", post(add_row).put(set_row).delete(remove_row))
        .route("/faults", get(faults).post(set_faults).delete(clear_faults))
        .route("/drop-connections", post(drop_connections))
        .route("/reboot", post(reboot))
        .route("/reset", post(reset))
        .route("/replace", post(replace))
        .route("/license", post(license))
        .route("/device-mode", post(device_mode))
        .route("/packages", post(packages))
        .route("/flash", post(flash))
        .fallback(unknown_path)
        .layer(DefaultBodyLimit::max(LONGEST_BODY_BYTES))
        .with_state(router)
}

/// A request that is not served, and why.
struct Refusal {
    status: StatusCode,
    reason: String,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.reason }))).into_response()
    }
}

impl Refusal {
    fn new(status: StatusCode, reason: impl ToString) -> Self {
        Self { status, reason: reason.to_string() }
    }
}

impl From<DeviceError> for Refusal {
    fn from(error: DeviceError) -> Self {
        let status = match error {
            DeviceError::Unknown(_) => StatusCode::NOT_FOUND,
            DeviceError::Exists(_) | DeviceError::Offline(_) | DeviceError::TooMany => StatusCode::CONFLICT,
            DeviceError::BadName
            | DeviceError::UnknownService(_)
            | DeviceError::BadMac(_)
            | DeviceError::BadAddress(_)
            | DeviceError::AddressMisplaced
            | DeviceError::BadRedial => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error)
    }
}

impl From<RowsError> for Refusal {
    fn from(error: RowsError) -> Self {
        let is_missing = matches!(error, RowsError::NoSuchMenu(_)) || error.is_missing_row();
        Self::new(if is_missing { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST }, error)
    }
}

impl From<FactError> for Refusal {
    fn from(error: FactError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }
}

impl From<FaultsError> for Refusal {
    fn from(error: FaultsError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }
}

/// Reads a JSON body, and shows an example when it does not fit.
fn read<T: DeserializeOwned>(body: &Bytes, example: &str) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            format!("the body does not fit: {error}; send JSON like {example}"),
        )
    })
}

async fn unknown_path() -> Refusal {
    let known = "/devices, /state, /writes, /menus/…, /rows/…, /faults, /drop-connections, /reboot, \
                 /reset, /replace, /license, /device-mode, /packages, /flash";
    Refusal::new(StatusCode::NOT_FOUND, format!("no such path; there are {known}"))
}

async fn devices(State(router): State<Router>) -> Response {
    Json(router.devices()).into_response()
}

async fn add_device(State(router): State<Router>, body: Bytes) -> Result<Response, Refusal> {
    let example = r#"{"name":"cpe-1","service":"pppoe","username":"plot1","password":"…"}"#;
    let new: NewDevice = read(&body, example)?;
    Ok((StatusCode::CREATED, Json(router.add_device(new)?)).into_response())
}

async fn device(State(router): State<Router>, Path(name): Path<String>) -> Result<Response, Refusal> {
    Ok(Json(router.device(&name)?).into_response())
}

async fn remove_device(
    State(router): State<Router>,
    Path(name): Path<String>,
) -> Result<StatusCode, Refusal> {
    router.remove_device(&name)?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Traffic {
    #[serde(default)]
    upload_bytes: u64,
    #[serde(default)]
    download_bytes: u64,
}

async fn move_traffic(
    State(router): State<Router>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let traffic: Traffic = read(&body, r#"{"upload_bytes":1000,"download_bytes":20000}"#)?;
    let view = router.move_traffic(&name, traffic.upload_bytes, traffic.download_bytes)?;
    Ok(Json(view).into_response())
}

#[derive(Deserialize)]
struct To {
    to: String,
}

async fn reach(
    State(router): State<Router>,
    Path(name): Path<String>,
    Query(to): Query<To>,
) -> Result<Response, Refusal> {
    let to = to.to.parse().map_err(|_| {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            format!("`{}` is no address; write it like 203.0.113.5:443", to.to),
        )
    })?;
    Ok(Json(router.reach(&name, to)?).into_response())
}

async fn state(State(router): State<Router>) -> Response {
    Json(router.summary()).into_response()
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

async fn writes(State(router): State<Router>, Query(after): Query<After>) -> Response {
    Json(router.writes_after(after.after)).into_response()
}

async fn menu(State(router): State<Router>, Path(path): Path<String>) -> Result<Response, Refusal> {
    let rows: Vec<JsonValue> = router.rows(&path)?.iter().map(row_json).collect();
    Ok(Json(rows).into_response())
}

/// Values are shown as UTF-8, with replacement characters where they are not.
fn row_json(row: &Row) -> JsonValue {
    let text = |bytes: &[u8]| JsonValue::String(String::from_utf8_lossy(bytes).into_owned());
    JsonValue::Object(row.iter().map(|(name, value)| ((*name).to_owned(), text(value))).collect())
}

/// The words of a JSON object: strings, numbers and booleans as RouterOS would have them.
fn words(body: &Bytes) -> Result<Vec<(String, String)>, Refusal> {
    let example = r#"{"name":"plot1","password":"…","disabled":false}"#;
    let object: Map<String, JsonValue> = read(body, example)?;
    let word = |(name, value): (String, JsonValue)| match value {
        JsonValue::String(text) => Ok((name, text)),
        JsonValue::Bool(flag) => Ok((name, if flag { "yes" } else { "no" }.to_owned())),
        JsonValue::Number(number) => Ok((name, number.to_string())),
        JsonValue::Null | JsonValue::Array(_) | JsonValue::Object(_) => {
            let reason =
                format!("`{name}` must be a string, a number or a boolean; send JSON like {example}");
            Err(Refusal::new(StatusCode::BAD_REQUEST, reason))
        }
    };
    object.into_iter().map(word).collect()
}

async fn add_row(
    State(router): State<Router>,
    Path(path): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let id = router.add_row(&path, &words(&body)?)?;
    Ok((StatusCode::CREATED, Json(json!({ "id": id }))).into_response())
}

async fn set_row(
    State(router): State<Router>,
    Path(path): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let (menu, id) = split_row_path(&path);
    router.set_row(menu, id, &words(&body)?)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove_row(State(router): State<Router>, Path(path): Path<String>) -> Result<StatusCode, Refusal> {
    let (menu, id) = split_row_path(&path);
    router.remove_row(menu, id)?;
    Ok(StatusCode::NO_CONTENT)
}

/// The menu is the longest one that the path starts with; the rest, which may hold slashes, is the row.
fn split_row_path(path: &str) -> (&str, &str) {
    let rest_after = |menu: &'static str| {
        let rest = path.strip_prefix(menu)?;
        if rest.is_empty() { Some("") } else { rest.strip_prefix('/') }
    };
    menus()
        .filter_map(|menu| rest_after(menu.path).map(|rest| (menu.path, rest)))
        .max_by_key(|(menu, _)| menu.len())
        .unwrap_or((path, ""))
}

async fn faults(State(router): State<Router>) -> Response {
    Json(router.faults()).into_response()
}

async fn set_faults(State(router): State<Router>, body: Bytes) -> Result<Response, Refusal> {
    let change: FaultsChange = read(&body, r#"{"latency_ms":80,"stall":false}"#)?;
    Ok(Json(router.set_faults(change)?).into_response())
}

async fn clear_faults(State(router): State<Router>) -> StatusCode {
    router.clear_faults();
    StatusCode::NO_CONTENT
}

async fn drop_connections(State(router): State<Router>) -> StatusCode {
    router.drop_connections();
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reboot {
    down_ms: u64,
}

async fn reboot(State(router): State<Router>, body: Bytes) -> Result<StatusCode, Refusal> {
    let reboot: Reboot = read(&body, r#"{"down_ms":2000}"#)?;
    router.reboot(reboot.down_ms);
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResetConfiguration {
    #[serde(default)]
    keep_users: bool,
    down_ms: u64,
}

async fn reset(State(router): State<Router>, body: Bytes) -> Result<StatusCode, Refusal> {
    let reset: ResetConfiguration = read(&body, r#"{"keep_users":true,"down_ms":2000}"#)?;
    router.reset_configuration(reset.keep_users, reset.down_ms)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn replace(State(router): State<Router>, body: Bytes) -> Result<Response, Refusal> {
    let replace: Reboot = read(&body, r#"{"down_ms":2000}"#)?;
    router.replace_board(replace.down_ms)?;
    Ok(Json(router.summary()).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct License {
    level: u8,
}

async fn license(State(router): State<Router>, body: Bytes) -> Result<StatusCode, Refusal> {
    let license: License = read(&body, r#"{"level":4}"#)?;
    router.set_license_level(license.level)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn device_mode(State(router): State<Router>, body: Bytes) -> Result<StatusCode, Refusal> {
    let features: BTreeMap<String, bool> = read(&body, r#"{"hotspot":false,"container":true}"#)?;
    for (feature, is_allowed) in &features {
        router.set_device_mode(feature, *is_allowed)?;
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn packages(State(router): State<Router>, body: Bytes) -> Result<Response, Refusal> {
    let wanted: BTreeMap<String, PackageState> =
        read(&body, r#"{"ppp":"missing","hotspot":"disabled","ntp":"enabled"}"#)?;
    let wanted: Vec<(&str, PackageState)> =
        wanted.iter().map(|(name, package)| (name.as_str(), *package)).collect();
    router.set_packages(&wanted)?;
    let rows: Vec<JsonValue> = router.rows(PACKAGES)?.iter().map(row_json).collect();
    Ok(Json(rows).into_response())
}

async fn flash(State(router): State<Router>, body: Bytes) -> Result<StatusCode, Refusal> {
    let example = r#"{"free_hdd_space":300000,"write_sect_total":90000,"write_sect_since_reboot":900,"bad_blocks":1.5}"#;
    let change: FlashChange = read(&body, example)?;
    router.set_flash(change)?;
    Ok(StatusCode::NO_CONTENT)
}
