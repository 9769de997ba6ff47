//! `tawi-agent router-script`: options in, a script for the console of a router out.
//!
//! It writes a password file where there is none, and nothing to the router: the script is pasted by a person who may
//! change it first.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use routeros_api::menu::Resource;
use routeros_api::{Client, Options, TlsTrust, Transport};
use tawi_agent::config::{
    Config, ConfigError, Environment, RouterConfig, RouterOutline, Secret, outline_of, read_secret_file,
};
use tawi_agent::doctor::pin_of;
use tawi_agent::router_script::{
    ExtraPolicy, Host, Name, Setup, SetupError, Tunnel, parse_prefix, parse_release,
};
use tawi_agent::router_script_files::{
    FileError, Replacing, can_be_pasted, own_address_towards, take_password, write_private,
};
use tawi_agent::run::router_options;
use tawi_agent::trouble::trouble_of;
use tawi_shared::Gather as _;
use tawi_shared::IdSource;
use tokio::runtime::Runtime;

use super::{USAGE, note};
use crate::{BAD_CONFIG, CANNOT_CREATE, UNAVAILABLE, fail, print};

/// The user and group of a router that the settings do not name yet.
const DEFAULT_USER: &str = "tawi";
const TLS_PORT: u16 = 8729;
const TLS_PAGE_PORT: u16 = 443;

/// What `--help` shows.
pub const EXAMPLES: &str = "\
Examples:
  tawi-agent router-script --router core --release 7.18 --router-address 192.168.88.1 \\
      --pppoe ether2 --pay-page 203.0.113.10 --allow-host pay.isp.example --output core.rsc
  tawi-agent router-script --router core --l2tp --openvpn vpn.isp.example --release 7.18
  tawi-agent router-script --router core --hotspot          asks the router for its release
  tawi-agent router-script --router core --release 6.49 --remove

Exit codes:
  0   the script was written
  2   an option is wrong
  69  the router does not tell its release
  73  a file cannot be written
  78  the settings or the password file are wrong";

/// Which router, and what it is to be prepared for.
#[derive(Args)]
pub struct Arguments {
    /// The router's name in routers.toml. It need not stand there yet
    #[arg(long, value_name = "NAME")]
    router: String,
    /// Where the agent reaches the router; left out, what routers.toml says
    #[arg(long, value_name = "ADDRESS", value_parser = parse_router_address)]
    router_address: Option<Ipv4Addr>,
    /// Print the script that takes back what any other one made, whatever options it was made with
    #[arg(long)]
    remove: bool,
    #[command(flatten)]
    purpose: Purpose,
}

/// What a router is to be prepared for.
#[derive(Args)]
pub struct Purpose {
    /// RouterOS's release, such as 7.18 or v7.18.2; left out, the router is asked, if the agent can log in already. One that is
    /// newer than the newest that is known gets the script of that one, with a warning
    #[arg(long, value_name = "RELEASE")]
    pub release: Option<String>,
    /// The agent's address as the router sees it; left out, this machine's towards the router
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    agent: Option<Ipv4Addr>,
    /// The agent's user on the router; left out, what routers.toml says, or tawi
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Its group
    #[arg(long, value_name = "NAME", default_value = DEFAULT_USER)]
    group: String,
    /// A policy beyond read, write and api: sensitive or test
    #[arg(long = "policy", value_name = "POLICY")]
    policies: Vec<String>,
    /// Another address or prefix that may use api-ssl, such as a monitoring server's
    #[arg(long, value_name = "PREFIX")]
    also_allow: Vec<String>,
    /// Leave the API without TLS as it is; otherwise it is switched off
    #[arg(long)]
    keep_plain_api: bool,
    /// Customers dial PPPoE on this interface: make a server there if none is. Name each such interface
    #[arg(long, value_name = "INTERFACE")]
    pppoe: Vec<String>,
    /// Customers dial L2TP: switch its server on
    #[arg(long)]
    l2tp: bool,
    /// Customers dial PPTP: switch its server on
    #[arg(long)]
    pptp: bool,
    /// Customers dial OpenVPN: switch its server on, with this certificate of the router
    #[arg(long, value_name = "CERTIFICATE")]
    openvpn: Option<String>,
    /// The router serves a hotspot (set it up with /ip hotspot setup): open its walled garden and keep its account lines
    #[arg(long)]
    hotspot: bool,
    /// Where customers who have not paid are led when they open a page over HTTP
    #[arg(long, value_name = "ADDRESS[:PORT]", value_parser = parse_page)]
    pay_page: Option<SocketAddrV4>,
    /// A name or address that customers who have not paid may reach
    #[arg(long, value_name = "HOST")]
    allow_host: Vec<String>,
    /// A resolver that they may ask; the first answers whatever they ask elsewhere, and where none is named the router does,
    /// which needs none of its own addresses here
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    resolver: Vec<Ipv4Addr>,
    /// Where the router takes its time from; left out, pool.ntp.org if it takes it from nowhere
    #[arg(long, value_name = "HOST")]
    time_server: Option<String>,
    /// Write the script there, for its owner alone, instead of printing it
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn parse_address(text: &str) -> Result<Ipv4Addr, String> {
    text.parse().map_err(|_| {
        "it is no IPv4 address\n  cure: give one without a port, such as 192.168.88.1".to_owned()
    })
}

fn parse_router_address(text: &str) -> Result<Ipv4Addr, String> {
    text.parse().map_err(|_| {
        "it is no IPv4 address\n  cure: give one without a port, such as 192.168.88.1; a port of api-ssl that is not 8729 stands in routers.toml"
            .to_owned()
    })
}

fn parse_page(text: &str) -> Result<SocketAddrV4, String> {
    let with_port = if text.contains(':') { text.to_owned() } else { format!("{text}:80") };
    let page: SocketAddrV4 = with_port.parse().map_err(|_| {
        "give an IPv4 address, as packets are led to addresses and not to names: 203.0.113.10 or 203.0.113.10:8080"
            .to_owned()
    })?;
    if page.port() == TLS_PAGE_PORT {
        return Err(
            "what is led there is HTTP without TLS: give the port on which the page answers that, such as 80"
                .to_owned(),
        );
    }
    Ok(page)
}

/// Why there is no script.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Option(#[from] SetupError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{0}")]
    Missing(String),
    #[error(
        "the router cannot be asked for its release: {0}\n  cure: give it with --release, as /system resource print shows it"
    )]
    Release(String),
}

impl Problem {
    pub fn code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::File(FileError::Read(_) | FileError::Letters(_)) => BAD_CONFIG,
            Self::Option(_) | Self::Missing(_) => USAGE,
            Self::File(FileError::Write { .. }) => CANNOT_CREATE,
            Self::Release(_) => UNAVAILABLE,
        }
    }
}

pub fn show(path: &Path, environment: &Environment, runtime: &Runtime, arguments: &Arguments) -> ExitCode {
    match make(path, environment, runtime, arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => fail(&problem.to_string(), problem.code()),
    }
}

fn make(
    path: &Path,
    environment: &Environment,
    runtime: &Runtime,
    arguments: &Arguments,
) -> Result<(), Problem> {
    let name = &arguments.router;
    let router = Router { name, address: arguments.router_address, port: None, is_believed: false };
    let prepared = prepare(path, environment, runtime, &router, &arguments.purpose)?;
    if arguments.remove {
        return put(&arguments.purpose, &prepared.setup.removal());
    }
    let (file, password) = prepared.password(path, name)?;
    put(&arguments.purpose, &prepared.setup.script(password.reveal()))?;
    if prepared.outline.is_none() {
        note(&format!(
            "routers.toml does not name it yet; add, with the pin that the script prints:\n\n[[router]]\nname = \"{name}\"\naddress = \"{}\"\nuser = \"{}\"\npassword_file = \"{}\"\ntls_pin = \"…\"\n\nor have that done: tawi-agent router add {name} {}",
            prepared.setup.router,
            prepared.setup.user.as_str(),
            prepared.shown(&file),
            prepared.setup.router,
        ));
    }
    Ok(())
}

/// Which router.
pub struct Router<'r> {
    /// Its name in the settings.
    pub name: &'r str,
    /// Where it is, if not as the settings say.
    pub address: Option<Ipv4Addr>,
    /// Where api-ssl listens, if not as the settings say.
    pub port: Option<u16>,
    /// Whether whoever answers there is told the password although nothing says that it is the router: a person compares its pin.
    pub is_believed: bool,
}

/// All that a script is made of but the password.
pub struct Prepared {
    /// What the router is to be prepared for.
    pub setup: Setup,
    /// What the settings say of it already.
    pub outline: Option<RouterOutline>,
    /// Where the settings are.
    pub directory: PathBuf,
}

/// Checks the options against the settings.
pub fn prepare(
    path: &Path,
    environment: &Environment,
    runtime: &Runtime,
    router: &Router<'_>,
    purpose: &Purpose,
) -> Result<Prepared, Problem> {
    tawi_shared::ids::check_id(router.name).map_err(|error| {
        Problem::Missing(format!(
            "--router: {error}\n  cure: use the router's name at head office, such as core"
        ))
    })?;
    let (directory, outline) = outline_of(path, environment, router.name)?;
    let setup = setup_of(path, environment, runtime, router, purpose, outline.as_ref())?;
    setup.check()?;
    if let Some(warning) = setup.warning() {
        note(&format!("WARNING: {warning}"));
    }
    Ok(Prepared { setup, outline, directory })
}

impl Prepared {
    /// The password that the agent and the router share, and its file, which is made where there is none.
    pub fn password(&self, path: &Path, name: &str) -> Result<(PathBuf, Secret), Problem> {
        let named = self.outline.as_ref().and_then(|outline| outline.password_file.clone());
        let file = named.unwrap_or_else(|| self.directory.join(format!("{name}.password")));
        match self.outline.as_ref().and_then(|outline| outline.password.clone()) {
            Some(password) if can_be_pasted(password.reveal()) => Ok((file, password)),
            Some(_) => Err(FileError::Letters(path.to_path_buf()).into()),
            None => {
                let (password, is_new) = take_password(&file, &IdSource::system())?;
                if is_new {
                    note(&format!(
                        "wrote a new password to {}; the agent's user must be able to read it: chown tawi-agent {0}",
                        file.display()
                    ));
                }
                Ok((file, password))
            }
        }
    }

    /// Whether the password stands in the settings themselves.
    pub fn holds_password(&self) -> bool {
        self.outline.as_ref().is_some_and(|outline| outline.password.is_some())
    }

    /// How a file beside the settings is named in them.
    pub fn shown(&self, file: &Path) -> String {
        file.strip_prefix(&self.directory).unwrap_or(file).display().to_string()
    }
}

fn setup_of(
    path: &Path,
    environment: &Environment,
    runtime: &Runtime,
    wanted: &Router<'_>,
    arguments: &Purpose,
    outline: Option<&RouterOutline>,
) -> Result<Setup, Problem> {
    let router = wanted
        .address
        .or_else(|| outline.and_then(|outline| outline.host.parse().ok()))
        .ok_or_else(|| {
            Problem::Missing(
                "where is the router?\n  cure: give its address with --router-address".to_owned(),
            )
        })?;
    let known =
        outline.map_or(TLS_PORT, |outline| if outline.port == 8728 { TLS_PORT } else { outline.port });
    let port = wanted.port.unwrap_or(known);
    let agent = arguments.agent.or_else(|| own_address_towards(router, port)).ok_or_else(|| {
        Problem::Missing(format!(
            "this machine has no way to {router}\n  cure: give the agent's address with --agent, as the router sees it"
        ))
    })?;
    let user = arguments.user.as_deref().or(outline.map(|outline| outline.user.as_str()));
    let release = match &arguments.release {
        Some(text) => parse_release(text)?,
        None => {
            let asking =
                Asking { path, environment, outline, user: user.unwrap_or(DEFAULT_USER), name: wanted.name };
            let at =
                wanted.address.filter(|_| wanted.is_believed).map(|address| SocketAddrV4::new(address, port));
            parse_release(&runtime.block_on(Box::pin(asking.ask(at))).map_err(Problem::Release)?)?
        }
    };
    let each = |texts: &[String]| -> Result<Vec<Host>, SetupError> {
        texts.iter().map(|text| Host::parse(text)).collect()
    };
    let interfaces: BTreeSet<&str> = arguments.pppoe.iter().map(String::as_str).into_set();
    let interfaces =
        interfaces.into_iter().map(|text| Name::parse("--pppoe", text)).collect::<Result<_, _>>()?;
    Ok(Setup {
        release,
        agent,
        also_allowed: arguments.also_allow.iter().map(|text| parse_prefix(text)).collect::<Result<_, _>>()?,
        router,
        port,
        user: Name::parse("--user", user.unwrap_or(DEFAULT_USER))?,
        group: Name::parse("--group", &arguments.group)?,
        extra_policies: arguments
            .policies
            .iter()
            .map(|text| ExtraPolicy::parse(text))
            .collect::<Result<_, _>>()?,
        keeps_plain_api: arguments.keep_plain_api,
        pppoe_interfaces: interfaces,
        tunnels: [(arguments.l2tp, Tunnel::L2tp), (arguments.pptp, Tunnel::Pptp)]
            .into_iter()
            .filter_map(|(is_dialled, tunnel)| is_dialled.then_some(tunnel))
            .collect(),
        openvpn_certificate: arguments
            .openvpn
            .as_deref()
            .map(|text| Name::parse("--openvpn", text))
            .transpose()?,
        has_hotspot: arguments.hotspot,
        pay_hosts: each(&arguments.allow_host)?,
        pay_page: arguments.pay_page,
        resolvers: arguments.resolver.clone(),
        time_server: arguments.time_server.as_deref().map(Host::parse).transpose()?,
    })
}

/// How a router is asked for its release: as the agent would log in.
struct Asking<'a> {
    path: &'a Path,
    environment: &'a Environment,
    outline: Option<&'a RouterOutline>,
    user: &'a str,
    name: &'a str,
}

impl Asking<'_> {
    /// `at`: where it is, if whoever answers there is believed to be it.
    async fn ask(&self, at: Option<SocketAddrV4>) -> Result<String, String> {
        let settings = Config::load(self.path, self.environment).map_err(|error| error.to_string());
        let of_settings = |config: Config| config.routers.into_iter().find(|router| router.name == self.name);
        let is_there = |router: &RouterConfig| {
            at.is_none_or(|at| router.host == at.ip().to_string() && router.port == at.port())
        };
        let options = match (settings.map(of_settings), at) {
            (Ok(Some(router)), _) if is_there(&router) => {
                router_options(&router).map_err(|error| error.to_string())?
            }
            (_, Some(at)) => self.options_at(at).await?,
            (Ok(_), None) => return Err(format!("no router {:?} is configured", self.name)),
            (Err(error), None) => return Err(error),
        };
        let client = Client::connect(options).await.map_err(|error| trouble_of(&error).why)?;
        let resource = client.single::<Resource>().await;
        client.close();
        let version = resource.map_err(|error| trouble_of(&error).why)?.version.ok_or("it does not say")?;
        Ok(String::from_utf8_lossy(&version).into_owned())
    }

    /// With the password of an earlier try, whose script the router may have been given already.
    async fn options_at(&self, at: SocketAddrV4) -> Result<Options, String> {
        let outline = self.outline;
        let file = outline.and_then(|outline| outline.password_file.clone());
        let file = file.unwrap_or_else(|| self.path.with_file_name(format!("{}.password", self.name)));
        let password = match outline.and_then(|outline| outline.password.clone()) {
            Some(password) => password,
            None if file.exists() => read_secret_file("password", &file).map_err(|error| error.said())?,
            None => return Err(format!("the agent has no password of router {:?} yet", self.name)),
        };
        let address = at.to_string();
        let pin = pin_of(&address).await?;
        let password = routeros_api::Secret::new(password.reveal().as_bytes().to_vec());
        Ok(Options::new(address, Transport::Tls(TlsTrust::Pin(pin)), self.user, password))
    }
}

pub fn put(arguments: &Purpose, text: &str) -> Result<(), Problem> {
    match &arguments.output {
        None => print(text),
        Some(file) => {
            write_private(file, text, Replacing::Earlier)?;
            note(&format!("wrote {}", file.display()));
        }
    }
    Ok(())
}
