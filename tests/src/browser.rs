//! A real Chromium, driven over WebDriver by Debian's `chromedriver`, for tests of pages as people see them.
//!
//! It reads what is shown, types, clicks and takes pictures; what should be on a page is for the test to say. Browser and
//! driver live in a process group of their own, which ends with the handle.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

/// How often a live page may replace what is about to be clicked.
const STALE: u32 = 10;
/// A browser starts in three seconds on a quiet machine.
const STARTS_WITHIN: Duration = Duration::from_secs(60);
/// How long an element may take to appear on a page that is being loaded.
const APPEARS_WITHIN: Duration = Duration::from_secs(10);
/// How long a page may take to show what is waited for.
const SHOWN_WITHIN: Duration = Duration::from_secs(30);
/// How often a page is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What the driver prints before its port.
const READY: &str = "ChromeDriver was started successfully on port ";
/// Root has no sandbox, and nothing but the page under test is to be loaded.
const ARGUMENTS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--lang=en-GB",
];
/// How often chromedriver is started before it counts as broken.
const STARTS: usize = 20;
/// The name under which WebDriver hands out elements (W3C WebDriver, section 12.1).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one tab.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    client: reqwest::Client,
    session: String,
    base: String,
    profile: PathBuf,
}

impl Browser {
    /// Starts a browser with a fresh profile in `directory`, for the pages of the site at `base`.
    ///
    /// # Errors
    /// When Chromium or its driver is not installed or does not start.
    pub async fn start(directory: &Path, base: &str) -> anyhow::Result<Self> {
        let (driver, port) = start_driver(directory).await?;
        let profile = directory.join(format!("browser-{port}"));
        let mut arguments = ARGUMENTS.map(str::to_owned).to_vec();
        arguments.push(format!("--user-data-dir={}", profile.display()));
        let mut browser = Self {
            driver,
            client: reqwest::Client::builder().timeout(STARTS_WITHIN).build()?,
            session: format!("http://127.0.0.1:{port}/session"),
            base: base.to_owned(),
            profile,
        };
        let wanted = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": arguments}}}});
        let session =
            browser.post("", &wanted).await.context("starting Chromium; `make setup` installs it")?;
        let id = session.get("sessionId").and_then(Value::as_str).context("a session has an id")?;
        browser.session = format!("{}/{id}", browser.session);
        // A click may lead to a page that is not there yet.
        browser.post("/timeouts", &json!({"implicit": APPEARS_WITHIN.as_millis()})).await?;
        Ok(browser)
    }

    /// Ends the browser and removes its profile.
    ///
    /// # Errors
    /// When the browser does not answer, or its profile cannot be removed.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.client.delete(&self.session).send().await?.error_for_status()?;
        self.end();
        self.driver.wait().await?;
        std::fs::remove_dir_all(&self.profile).context("removing the browser's profile")
    }

    fn end(&self) {
        let id = self.driver.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(id) = id {
            // It may have ended by itself.
            let _ = kill_process_group(id, Signal::KILL);
        }
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let answer = self.client.post(format!("{}{path}", self.session)).json(body).send().await?;
        value_of(answer).await.with_context(|| format!("asking the browser for {path} {body}"))
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        value_of(self.client.get(format!("{}{path}", self.session)).send().await?).await
    }

    /// One command of the DevTools protocol.
    async fn devtools(&self, command: &str, parameters: Value) -> anyhow::Result<Value> {
        self.post("/goog/cdp/execute", &json!({"cmd": command, "params": parameters})).await
    }

    /// Whether pages may run scripts.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn allow_scripts(&self, may: bool) -> anyhow::Result<()> {
        self.devtools("Emulation.setScriptExecutionDisabled", json!({"value": !may})).await?;
        Ok(())
    }

    /// Makes the window so wide and high, in CSS pixels, and asks pages for dark or light colours.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn look(&self, width: u32, height: u32, is_dark: bool) -> anyhow::Result<()> {
        // Not as a phone: a phone zooms out from a page that is too wide, which would hide it.
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await?;
        // A phone lays its scroll bar over the page.
        self.devtools("Emulation.setScrollbarsHidden", json!({"hidden": true})).await?;
        let scheme = if is_dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", features).await?;
        Ok(())
    }

    /// Opens a page of the site.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub async fn open(&self, path: &str) -> anyhow::Result<()> {
        self.post("/url", &json!({"url": format!("{}{path}", self.base)})).await?;
        Ok(())
    }

    /// The path of the page that is shown, with its query.
    ///
    /// # Errors
    /// When the browser does not say.
    pub async fn path(&self) -> anyhow::Result<String> {
        let url = self.get("/url").await?;
        Ok(url.as_str().context("an address is text")?.trim_start_matches(&self.base).to_owned())
    }

    /// The value of an expression on the page.
    ///
    /// # Errors
    /// When it fails.
    pub async fn value(&self, expression: &str) -> anyhow::Result<Value> {
        let script = format!("return {expression}");
        self.post("/execute/sync", &json!({"script": script, "args": []})).await
    }

    async fn element(&self, selector: &str) -> anyhow::Result<String> {
        let found = self.post("/element", &json!({"using": "css selector", "value": selector})).await?;
        Ok(found.get(ELEMENT).and_then(Value::as_str).context("an element has an id")?.to_owned())
    }

    /// Clicks what the selector finds first, and waits until the page that it may lead to is loaded.
    ///
    /// # Errors
    /// When there is no such thing, or it cannot be clicked.
    pub async fn click(&self, selector: &str) -> anyhow::Result<()> {
        for _ in 0..STALE {
            let element = self.element(selector).await?;
            match self.post(&format!("/element/{element}/click"), &json!({})).await {
                // A live part of the page took its place after it was found. Nothing was clicked.
                Err(error) if format!("{error:#}").contains("stale element reference") => {}
                clicked => return clicked.map(drop),
            }
        }
        anyhow::bail!("{selector} was replaced {STALE} times between being found and being clicked")
    }

    /// Replaces what stands in a field.
    ///
    /// # Errors
    /// When there is no such field.
    pub async fn fill(&self, selector: &str, text: &str) -> anyhow::Result<()> {
        let element = self.element(selector).await?;
        self.post(&format!("/element/{element}/clear"), &json!({})).await?;
        self.post(&format!("/element/{element}/value"), &json!({"text": text})).await?;
        Ok(())
    }

    /// What a person reads in the first element that the selector finds.
    ///
    /// # Errors
    /// When there is none.
    pub async fn text(&self, selector: &str) -> anyhow::Result<String> {
        let element = self.element(selector).await?;
        let text = self.get(&format!("/element/{element}/text")).await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until the element shows this text; it may not be there yet, or be replaced meanwhile.
    ///
    /// # Errors
    /// When it does not within half a minute; with what it shows instead.
    pub async fn wait_for_text(&self, selector: &str, wanted: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + SHOWN_WITHIN;
        loop {
            let shown = self.text(selector).await;
            if shown.as_ref().is_ok_and(|text| text.contains(wanted)) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!("{selector} on {} does not show {wanted:?} but {shown:?}", self.path().await?);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until an expression on the page is true; the page may be loaded anew meanwhile.
    ///
    /// # Errors
    /// When it is not within half a minute.
    pub async fn wait_until(&self, expression: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + SHOWN_WITHIN;
        loop {
            let value = self.value(expression).await;
            if value.as_ref().is_ok_and(|value| *value == Value::Bool(true)) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!("on {} it never comes true that {expression}: {value:?}", self.path().await?);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// A picture of the whole page, however far it goes below the window, as PNG.
    ///
    /// # Errors
    /// When the browser takes none, or the file cannot be written.
    pub async fn picture(&self, file: &Path) -> anyhow::Result<()> {
        let whole = json!({"format": "png", "captureBeyondViewport": true});
        let taken = self.devtools("Page.captureScreenshot", whole).await?;
        let encoded = taken.get("data").and_then(Value::as_str).context("a picture is text")?;
        std::fs::write(file, BASE64.decode(encoded)?)?;
        Ok(())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts chromedriver and returns it with its port.
///
/// It takes a port that IPv6 gives it and wants the same one of IPv4, where another process may have it; then it ends, and
/// is started again.
async fn start_driver(directory: &Path) -> anyhow::Result<(Child, String)> {
    let mut said = String::new();
    for _ in 0..STARTS {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            // Chromium leaves folders of its own behind when it is killed.
            .env("TMPDIR", directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("starting chromedriver; `make setup` installs it")?;
        let mut lines = BufReader::new(driver.stdout.take().context("standard output is piped")?).lines();
        let port = async {
            while let Some(line) = lines.next_line().await? {
                if let Some(port) = line.strip_prefix(READY) {
                    return anyhow::Ok(Some(port.trim_end_matches('.').to_owned()));
                }
                said = line;
            }
            Ok(None)
        };
        if let Some(port) =
            timeout(STARTS_WITHIN, port).await.context("chromedriver is not ready in time")??
        {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok((driver, port));
        }
    }
    bail!("chromedriver ended {STARTS} times before it was ready; it said: {said}")
}

async fn value_of(answer: reqwest::Response) -> anyhow::Result<Value> {
    let is_good = answer.status().is_success();
    let mut body: Value = answer.json().await?;
    let value = body.get_mut("value").map(Value::take).unwrap_or_default();
    if is_good {
        return Ok(value);
    }
    let message = value.get("message").and_then(Value::as_str).unwrap_or_default();
    bail!("{}", message.lines().next().unwrap_or("the browser refuses"))
}
