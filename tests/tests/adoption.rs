//! A router that others looked after until today is taken over: who is online stays online, usage goes on being counted,
//! and the end of what was paid for cuts the line off, from a page at head office to the packets.

#![expect(clippy::indexing_slicing, reason = "a story that looks for what is not there has failed")]

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use routeros_sim::{DeviceState, NewDevice, Service};
use tawi_shared::{Clock, IdSource, UnixMillis};
use tawi_tests::world::{Plan, ROUTER_NAME, World};
use tokio::time::{Instant, sleep};

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long the customer has still paid for.
const REMAINING: Duration = Duration::from_secs(30);
const PASSWORD: &str = "known to nobody at head office";

/// A person at the dashboard, without scripts.
struct Person {
    client: reqwest::Client,
    base: String,
    cookies: BTreeMap<String, String>,
}

impl Person {
    async fn sign_in(world: &World) -> anyhow::Result<Self> {
        let added = world.command(&["staff", "add", "operator", "--role", "operator", "--json"]).await?;
        let password = added["password"].as_str().context("a password is printed")?.to_owned();
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        let mut person = Self { client, base: world.dashboard().to_owned(), cookies: BTreeMap::new() };
        let form = person.get("/sign-in").await?;
        let fields = [("login", "operator"), ("password", &password), ("form_token", token_of(&form)?)];
        person.send("/sign-in", Some(&fields)).await?;
        Ok(person)
    }

    async fn get(&mut self, path: &str) -> anyhow::Result<String> {
        Ok(self.send(path, None).await?.1)
    }

    /// Fills in a form of the page that is shown at `page`.
    async fn post(&mut self, page: &str, path: &str, fields: &[(&str, &str)]) -> anyhow::Result<String> {
        let shown = self.get(page).await?;
        let token = token_of(&shown)?.to_owned();
        let fields: Vec<_> = fields.iter().copied().chain([("form_token", token.as_str())]).collect();
        let (status, body) = self.send(path, Some(&fields)).await?;
        anyhow::ensure!(status < 400, "{path}: {status}: {body}");
        Ok(body)
    }

    async fn send(&mut self, path: &str, fields: Option<&[(&str, &str)]>) -> anyhow::Result<(u16, String)> {
        let url = format!("{}{path}", self.base);
        let request = match fields {
            Some(fields) => self.client.post(url).form(fields),
            None => self.client.get(url),
        };
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let answer = request.header(COOKIE, cookies.join("; ")).send().await?;
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let pair = cookie.to_str()?.split(';').next().unwrap_or_default().to_owned();
            if let Some((name, value)) = pair.split_once('=') {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let to_sign_in = answer.headers().get(LOCATION).is_some_and(|to| to == "/sign-in");
        anyhow::ensure!(!to_sign_in, "{path}: nobody is signed in");
        Ok((answer.status().as_u16(), answer.text().await?))
    }
}

fn token_of(page: &str) -> anyhow::Result<&str> {
    let (_, rest) = page
        .split_once("name=\"form_token\" value=\"")
        .with_context(|| format!("a form has a token: {page}"))?;
    Ok(rest.split('"').next().unwrap_or_default())
}

/// The hidden fields that a preview sends on.
fn hidden(page: &str) -> Vec<(String, String)> {
    let inputs = page.split("<input type=\"hidden\" name=\"").skip(1);
    let field = |part: &str| {
        let (name, rest) = part.split_once("\" value=\"")?;
        Some((name.to_owned(), rest.split_once('"')?.0.to_owned()))
    };
    inputs.filter_map(field).filter(|(name, _)| name != "form_token").collect()
}

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        anyhow::ensure!(Instant::now() < deadline, "waited in vain until {what}");
        sleep(LOOK_EVERY).await;
    }
}

/// A row of a menu as text, by name.
fn row(world: &World, menu: &str, name: &str) -> anyhow::Result<BTreeMap<&'static str, String>> {
    let rows = world.site(0)?.router.router().rows(menu)?;
    let text = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
    rows.into_iter()
        .map(|row| row.into_iter().map(|(name, value)| (name, text(value))).collect::<BTreeMap<_, _>>())
        .find(|row| row.get("name").is_some_and(|has| has == name))
        .with_context(|| format!("{menu} has {name}"))
}

/// Nairobi's time as a browser's field writes it, with seconds.
fn local(at: UnixMillis) -> String {
    let seconds = at.0 / 1_000 + 3 * 3_600;
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let day = calendar_day(days);
    format!("{day}T{:02}:{:02}:{:02}", rest / 3_600, rest / 60 % 60, rest % 60)
}

/// A day of the Gregorian calendar.
fn calendar_day(days: i64) -> String {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    format!("{:04}-{month:02}-{day:02}", year_of_era + era * 400 + i64::from(month <= 2))
}

async fn story(world: &World) -> anyhow::Result<()> {
    let router = world.site(0)?.router.router();
    let plan = world.add_plan("Home 10", Service::Pppoe, "home-10", 10, 150_000, 30 * 86_400).await?;
    let default = row(world, "ppp/profile", "default")?;
    let (pool, own) = (default["remote-address"].as_str(), default["local-address"].as_str());
    let profile =
        [("name", "old"), ("rate-limit", "5M/10M"), ("remote-address", pool), ("local-address", own)];
    router.add_row("ppp/profile", &profile)?;
    let secret = [
        ("name", "plot17"),
        ("password", PASSWORD),
        ("service", "pppoe"),
        ("profile", "old"),
        ("comment", "kiosk"),
    ];
    router.add_row("ppp/secret", &secret)?;
    router
        .add_device(NewDevice::new("plot17", Service::Pppoe, "plot17", PASSWORD).redialing_after_ms(100))?;
    router.wait_for_device("plot17", DeviceState::Online, PATIENCE).await?;
    let session = row(world, "ppp/active", "plot17")?;

    let mut person = Person::sign_in(world).await?;
    let site = world.site(0)?.id.clone();
    let to = format!("/sites/{site}/routers/{ROUTER_NAME}/take-over");
    person.post(&to, &format!("{to}/read"), &[]).await?;
    let sheet = until("the rows are read", async || {
        let sheet = person.get(&to).await?;
        Ok(sheet.contains("1:plot17").then_some(sheet))
    })
    .await?;
    anyhow::ensure!(
        sheet.contains(&format!("<option value=\"{plan}\" selected>")),
        "the plan of that speed: {sheet}"
    );
    let clock = Clock::system();
    let until_when = local(clock.now().plus(REMAINING));
    let typed = [
        ("take-0", "yes"),
        ("row-0", "1:plot17"),
        ("customer-0", ""),
        ("name-0", "Kiosk by the road"),
        ("phone-0", "0722000111"),
        ("plan-0", plan.as_str()),
        ("until-0", until_when.as_str()),
    ];
    let preview = person.post(&to, &format!("{to}/preview"), &typed).await?;
    anyhow::ensure!(row(world, "ppp/secret", "plot17")?["comment"] == "kiosk", "nothing is touched before");
    let fields = hidden(&preview);
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    person.post(&to, &format!("{to}/confirm"), &fields).await?;

    until("the row is a line's", async || {
        let secret = row(world, "ppp/secret", "plot17")?;
        Ok(secret["comment"].starts_with("tawi:").then_some(()))
    })
    .await?;
    let secret = row(world, "ppp/secret", "plot17")?;
    anyhow::ensure!(secret["profile"] == "home-10", "{secret:?}");
    let line = secret["comment"].trim_start_matches("tawi:").to_owned();
    let now = row(world, "ppp/active", "plot17")?;
    anyhow::ensure!(now["session-id"] == session["session-id"] && now[".id"] == session[".id"], "{now:?}");

    let counted = |subscription: &serde_json::Value| subscription["download_bytes"].as_u64().unwrap_or(0);
    let path = format!("/api/subscriptions/{line}");
    until("usage is counted", async || {
        // A session that ran before is counted from its first reading on.
        router.move_traffic("plot17", 1_000, 200_000)?;
        Ok((counted(&world.office.get(&path).await?) >= 1_000_000).then_some(()))
    })
    .await?;
    let still = row(world, "ppp/active", "plot17")?;
    anyhow::ensure!(still["session-id"] == session["session-id"], "the session that ran before still runs");

    router.wait_for_device("plot17", DeviceState::Dialing, PATIENCE).await?;
    let secret = row(world, "ppp/secret", "plot17")?;
    anyhow::ensure!(secret["disabled"] == "true", "what was paid for is over: {secret:?}");
    let writes = until("the API log has come", async || {
        let writes = world.office.get(&format!("/api/router-writes?line={line}")).await?;
        Ok((writes["writes"].as_array().is_some_and(|writes| writes.len() >= 2)).then_some(writes))
    })
    .await?;
    anyhow::ensure!(!writes.to_string().contains(PASSWORD), "{writes}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_of_a_foreign_row_is_taken_over_without_a_break_and_cut_off_in_time() {
    let directory = std::env::temp_dir().join(format!("tawi-adoption-{}", IdSource::system().hex(4)));
    let plan = Plan { sites: vec!["nyeri-01".to_owned()], rule_17: false, ..Plan::default() };
    let world = World::start(&directory, &plan, &mut |step: &str| eprintln!("· {step}")).await.unwrap();
    let told = Box::pin(story(&world)).await;
    world.stop().await.unwrap();
    told.unwrap();
}
