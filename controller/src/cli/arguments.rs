//! What can be said on the command line. The texts are what `--help` shows.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tawi_shared::wire::Service;
use tawi_shared::{Bandwidth, LineId, SiteId};

use super::mpesa_arguments::MpesaCommand;
use super::release_arguments::{ReleaseCommand, UpgradeCommand};
use super::site_arguments::{RouterCommand, SiteCommand};
use super::units;
use crate::config;
use crate::customers::phone::Msisdn;
use crate::messages::words::Language;
use crate::money::Money;
use crate::plans::Restraint;
use crate::staff::{Login, Role};

/// Tawi's controller: customers, plans, payments and policy for every site.
#[derive(Debug, Parser)]
#[command(
    name = "tawi-controller",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    after_help = "Examples:
  tawi-controller serve
  tawi-controller staff add owner --role owner
  tawi-controller site add nyeri-01 --name \"Nyeri town\" --bundle nyeri-01.ticket
  tawi-controller plan add \"Home 10\" --connection-type home-10 --price 1500 --validity 30d

Exit codes: 0 done, 1 refused or failed, 2 wrong command line, 69 database or port cannot be had, 78 bad settings."
)]
pub struct Arguments {
    /// The settings file
    #[arg(long, global = true, value_name = "FILE", default_value = config::DEFAULT_PATH)]
    pub config: PathBuf,
    /// Print one JSON value on standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the controller: broker, M-Pesa, pages and API
    #[command(after_help = "Examples:
  tawi-controller serve
  tawi-controller --config ./controller.toml serve
Prints one line on standard output when everything is up:
  ready http=http://127.0.0.1:8080 mqtt=0.0.0.0:8883
SIGTERM and SIGINT end it; open requests may finish.")]
    Serve,
    /// Settings
    #[command(after_help = "Example:\n  tawi-controller config check --config ./controller.toml")]
    Config {
        /// What about them.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Bring the database up to date (serve does so too)
    Migrate,
    /// Sites
    #[command(after_help = "Examples:
  tawi-controller site add nyeri-01 --name \"Nyeri town\"
  tawi-controller site list
  tawi-controller site doctor nyeri-01
  tawi-controller site set nyeri-01 kilobytes_an_hour=50")]
    Site {
        /// What about them.
        #[command(subcommand)]
        command: SiteCommand,
    },
    /// Releases of the agent: keys, signing, and what is kept here
    #[command(after_help = "Examples, the first two on the builder's machine:
  tawi-controller release new-key --out ~/tawi-keys
  tawi-controller release sign --key ~/tawi-keys/release.key --binary target/release/tawi-agent --out tawi-agent-0.2.0.release
  tawi-controller release add tawi-agent-0.2.0.release
  tawi-controller release list")]
    Release {
        /// What about them.
        #[command(subcommand)]
        command: ReleaseCommand,
    },
    /// Bring a release to the sites, in waves
    #[command(after_help = "Examples:
  tawi-controller upgrade start 0.2.0
  tawi-controller upgrade status
  tawi-controller upgrade pause")]
    Upgrade {
        /// What about it.
        #[command(subcommand)]
        command: UpgradeCommand,
    },
    /// Routers
    #[command(after_help = "Examples:
  tawi-controller router list --site nyeri-01
  tawi-controller router add --site nyeri-01 --name core
  tawi-controller router writes --site nyeri-01 --since 2h")]
    Router {
        /// What about them.
        #[command(subcommand)]
        command: RouterCommand,
    },
    /// What another MQTT broker must be told to take the place of the embedded one
    #[command(after_help = BROKER_CONFIG_EXAMPLES)]
    BrokerConfig(BrokerConfigArguments),
    /// People who sign in
    Staff {
        /// What about them.
        #[command(subcommand)]
        command: StaffCommand,
    },
    /// Programs that use the API
    Token {
        /// What about them.
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// M-Pesa
    #[command(after_help = "Examples:
  tawi-controller mpesa doctor
  tawi-controller mpesa balance
  tawi-controller mpesa register-urls")]
    Mpesa {
        /// What about it.
        #[command(subcommand)]
        command: MpesaCommand,
    },
    /// Texts to customers
    Sms {
        /// What about them.
        #[command(subcommand)]
        command: SmsCommand,
    },
    /// Who changed what, and when
    #[command(after_help = "Example:\n  tawi-controller audit list --limit 20")]
    Audit {
        /// What about it.
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// The books: prove them, and close a day
    Books {
        /// What about them.
        #[command(subcommand)]
        command: BooksCommand,
    },
    /// How plans are set up on routers
    ConnectionType {
        /// What about them.
        #[command(subcommand)]
        command: ConnectionTypeCommand,
    },
    /// What is sold
    Plan {
        /// What about them.
        #[command(subcommand)]
        command: PlanCommand,
    },
    /// Data that can be bought on top
    TopUp {
        /// What about them.
        #[command(subcommand)]
        command: TopUpCommand,
    },
    /// Customers
    #[command(
        after_help = "Example:\n  tawi-controller customer add --name \"Corner Shop\" --phone 0712345678"
    )]
    Customer {
        /// What about them.
        #[command(subcommand)]
        command: CustomerCommand,
    },
    /// What customers bought
    Subscription {
        /// What about them.
        #[command(subcommand)]
        command: SubscriptionCommand,
    },
}

const BROKER_CONFIG_EXAMPLES: &str = "Examples:
  tawi-controller broker-config mosquitto --url mqtts://mq.isp.example:8883
  tawi-controller broker-config mosquitto --url mqtts://mq.isp.example:8883 --out ./tawi --at /etc/mosquitto/tawi
  tawi-controller broker-config mosquitto --crl - > revoked.crl
  tawi-controller broker-config mosquitto --out /etc/mosquitto/tawi --renew
Without --out settings and access rules are printed, and no key is made. With it they are written there, beside the broker's
certificate and key, the authority's certificate and the list of revoked certificates. Then this one line in the controller's
settings, and a restart, make the switch; without it the embedded broker is back:
  [broker] url = \"mqtts://mq.isp.example:8883\"
Only mosquitto is proven by tests; what each broker promises of sites that are revoked stands at the head of its settings.";

/// What to print or write.
#[derive(Debug, Args)]
pub struct BrokerConfigArguments {
    /// Which broker
    pub kind: BrokerKind,
    /// Where the broker will be; as the settings say in broker.url if not given
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// A directory for the files, certificate and key included; they are printed, without a key, if not given
    #[arg(long, value_name = "DIRECTORY")]
    pub out: Option<PathBuf>,
    /// Where the files will lie at the broker; the directory of --out if not given
    #[arg(long, value_name = "DIRECTORY")]
    pub at: Option<String>,
    /// Make a new key and certificate where there are some already
    #[arg(long, requires = "out")]
    pub renew: bool,
    /// Write the list of revoked certificates to this file, and nothing else
    #[arg(long, value_name = "FILE", conflicts_with_all = ["out", "at", "renew"])]
    pub crl: Option<PathBuf>,
}

/// A broker that can be told.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum BrokerKind {
    /// Eclipse Mosquitto 2.0
    Mosquitto,
    /// EMQX 5
    Emqx,
    /// VerneMQ 2
    Vernemq,
    /// NATS server 2
    Nats,
}

/// About the settings.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Read the settings, and say what is wrong with them
    #[command(after_help = "Example:\n  tawi-controller config check --config ./controller.toml")]
    Check,
}

/// About staff.
#[derive(Debug, Subcommand)]
pub enum StaffCommand {
    /// Add somebody who may sign in
    #[command(after_help = "Examples:
  tawi-controller staff add owner --role owner
  tawi-controller staff add technician --role operator --password-file ./password
Without a file a password is made and printed once.")]
    Add {
        /// How they sign in
        #[arg(value_parser = Login::parse)]
        login: Login,
        /// What they may do
        #[arg(long)]
        role: RoleWord,
        /// A file with the password on its first line
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// List everybody
    List,
    /// Give somebody a new password; whatever they had open ends
    #[command(after_help = "Example:\n  tawi-controller staff password owner")]
    Password {
        /// Who
        #[arg(value_parser = Login::parse)]
        login: Login,
        /// A file with the password on its first line
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Let somebody sign in no longer; whatever they had open ends
    #[command(after_help = "Example:\n  tawi-controller staff disable technician")]
    Disable {
        /// Who
        #[arg(value_parser = Login::parse)]
        login: Login,
    },
    /// Let somebody sign in again
    #[command(after_help = "Example:\n  tawi-controller staff enable technician")]
    Enable {
        /// Who
        #[arg(value_parser = Login::parse)]
        login: Login,
    },
}

/// About tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token for a program, and print it once
    #[command(after_help = "Example:\n  tawi-controller token add billing --role operator > billing.token")]
    Add {
        /// Which program
        name: String,
        /// What it may do
        #[arg(long)]
        role: RoleWord,
    },
    /// List all tokens by name
    List,
    /// End a token
    #[command(after_help = "Example:\n  tawi-controller token revoke billing")]
    Revoke {
        /// Which program's
        name: String,
    },
}

/// About texts to customers.
#[derive(Debug, Subcommand)]
pub enum SmsCommand {
    /// Prove texts step by step, without sending one
    #[command(after_help = "Examples:
  tawi-controller sms doctor
  tawi-controller sms doctor --json
It shows the secret address of delivery reports, to be entered at Africa's Talking. Exit codes: 0 without BAD, 1 with one.")]
    Doctor,
    /// Send a test, and say what became of it
    #[command(after_help = "Examples:
  tawi-controller sms test 0712345678
  tawi-controller sms test 0712345678 --language sw --wait 120
The controller that runs sends it. Exit codes: 0 when the provider took it, 1 when not.")]
    Test {
        /// The number
        number: Msisdn,
        /// en or sw
        #[arg(long, value_name = "LANGUAGE", default_value = "en")]
        language: Language,
        /// How many seconds are waited for a delivery report, 1 to 300
        #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=300))]
        wait: u64,
    },
}

/// `books …`.
#[derive(Clone, Debug, Subcommand)]
pub enum BooksCommand {
    /// Ask all of the books whether they hold
    #[command(after_help = "Examples:
  tawi-controller books prove
  tawi-controller books prove --json
The controller does so every night, and the overview tells what it found. Exit codes: 0 when everything holds, 1 when not.")]
    Prove,
    /// Compare a day with what Pull and the portal's statement told, receipt by receipt
    #[command(after_help = "Examples:
  tawi-controller books close
  tawi-controller books close 2026-11-25 --json
The day is Nairobi's, by M-Pesa's own clock. What nothing has told of is no difference: Pull must have swept, and the
statement must have been taken in. Exit codes: 0 when nothing differs, 1 when something does.")]
    Close {
        /// Which day; yesterday where none is given
        day: Option<String>,
    },
}

/// About the audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List the newest entries, newest first
    #[command(after_help = "Examples:
  tawi-controller audit list
  tawi-controller audit list --limit 1000 --json
Times are Nairobi's; in JSON they are milliseconds since 1970 in UTC.")]
    List {
        /// How many, 1 to 10000
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
}

/// A role on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum RoleWord {
    /// Everything
    Owner,
    /// The daily work: customers, subscriptions, requests for payment
    Operator,
    /// Looks, and changes nothing
    Viewer,
}

impl From<RoleWord> for Role {
    fn from(word: RoleWord) -> Self {
        match word {
            RoleWord::Owner => Self::Owner,
            RoleWord::Operator => Self::Operator,
            RoleWord::Viewer => Self::Viewer,
        }
    }
}

/// How a line reaches the network, on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ServiceWord {
    /// A PPP secret with service=pppoe
    Pppoe,
    /// A hotspot user
    Hotspot,
    /// A PPP secret with service=l2tp
    L2tp,
    /// A PPP secret with service=pptp
    Pptp,
    /// A PPP secret with service=ovpn
    Openvpn,
    /// An address of the customer's own, with a queue; nobody logs in
    Static,
    /// The same behind a hotspot that lets the device pass by its MAC
    HotspotDevice,
}

impl From<ServiceWord> for Service {
    fn from(word: ServiceWord) -> Self {
        match word {
            ServiceWord::Pppoe => Self::Pppoe,
            ServiceWord::Hotspot => Self::Hotspot,
            ServiceWord::L2tp => Self::L2tp,
            ServiceWord::Pptp => Self::Pptp,
            ServiceWord::Openvpn => Self::Openvpn,
            ServiceWord::Static => Self::Static,
            ServiceWord::HotspotDevice => Self::HotspotDevice,
        }
    }
}

/// What a connection type is set to; what is not given stays, or is nothing for a new one.
#[derive(Clone, Debug, Args)]
pub struct ProfileArguments {
    /// To the customer, for a short while; 0 for no burst
    #[arg(long, value_parser = units::bandwidth)]
    pub download_burst: Option<Bandwidth>,
    /// From the customer, for a short while; 0 for no burst
    #[arg(long, value_parser = units::bandwidth)]
    pub upload_burst: Option<Bandwidth>,
    /// The average to the customer above which a burst ends; 0 for the speed itself
    #[arg(long, value_parser = units::bandwidth)]
    pub download_threshold: Option<Bandwidth>,
    /// The average from the customer above which a burst ends; 0 for the speed itself
    #[arg(long, value_parser = units::bandwidth)]
    pub upload_threshold: Option<Bandwidth>,
    /// Over how many seconds that average is taken
    #[arg(long, value_name = "N")]
    pub burst_seconds: Option<u32>,
    /// From 1, served first, to 8; 0 for the router's default
    #[arg(long, value_name = "N")]
    pub priority: Option<u16>,
    /// Devices that may be logged in at once under one name; 0 for the router's default
    #[arg(long, value_name = "N")]
    pub shared_users: Option<u32>,
    /// Pool on the routers that clients get addresses from; empty for the router's default
    #[arg(long)]
    pub pool: Option<String>,
    /// The router's own address towards the client, PPP only; empty for the router's default
    #[arg(long)]
    pub local_address: Option<String>,
}

/// About connection types.
#[derive(Debug, Subcommand)]
pub enum ConnectionTypeCommand {
    /// Add a connection type
    #[command(after_help = "Examples:
  tawi-controller connection-type add --service pppoe --profile home-10 --download 10M --upload 5M --pool homes
  tawi-controller connection-type add --service static --profile office-20 --download 20M --upload 20M
PPP services share one list of profiles on a router: their names are unique among them.")]
    Add {
        /// How lines reach the network
        #[arg(long)]
        service: ServiceWord,
        /// Name of the profile on routers
        #[arg(long)]
        profile: String,
        /// To the customer, such as 10M, 512k or 0 for no limit
        #[arg(long, value_parser = units::bandwidth)]
        download: Bandwidth,
        /// From the customer
        #[arg(long, value_parser = units::bandwidth)]
        upload: Bandwidth,
        /// More about it.
        #[command(flatten)]
        more: ProfileArguments,
    },
    /// Change a connection type, at every site that has it
    #[command(after_help = "Example:
  tawi-controller connection-type change home-10 --download 20M --upload 10M
What is not given stays. When the speed changes, PPP sessions are ended and devices dial in again (a few seconds offline
for each, at most 20 a second on one router), hotspot sessions are ended and devices log in again by their cookie, and
queues change without a drop.")]
    Change {
        /// Which, by profile name or id
        connection_type: String,
        /// To the customer, such as 10M, 512k or 0 for no limit
        #[arg(long, value_parser = units::bandwidth)]
        download: Option<Bandwidth>,
        /// From the customer
        #[arg(long, value_parser = units::bandwidth)]
        upload: Option<Bandwidth>,
        /// More about it.
        #[command(flatten)]
        more: ProfileArguments,
    },
    /// List all connection types
    List,
}

/// About plans.
#[derive(Debug, Subcommand)]
pub enum PlanCommand {
    /// Add a plan
    #[command(after_help = "Examples:
  tawi-controller plan add \"Home 10\" --connection-type home-10 --price 1500 --validity 30d
  tawi-controller plan add \"Home 10, 50 GB\" --connection-type home-10 --price 1000 --validity 30d \\
      --quota 50GB --after-quota 1M/512k --suspension walled --offline 72h:1M/1M")]
    Add {
        /// Its name
        name: String,
        /// A connection type, by profile name or id
        #[arg(long)]
        connection_type: String,
        /// In shillings, such as 1500
        #[arg(long, value_parser = Money::parse)]
        price: Money,
        /// How long a payment lasts, such as 30d, 24h or 90m
        #[arg(long, value_parser = units::validity)]
        validity: Duration,
        /// Data in one period, upload and download together, such as 50GB
        #[arg(long, value_parser = units::data)]
        quota: Option<u64>,
        /// What comes after the data: off, walled, or a slow download and upload such as 1M/512k
        #[arg(long, value_parser = units::restraint, default_value = "off")]
        after_quota: Restraint,
        /// What being held or not paid for means: off, walled (the pay page only), or a slow 1M/512k
        #[arg(long, value_parser = units::restraint, default_value = "off")]
        suspension: Restraint,
        /// What happens while the site cannot hear head office: keep, 72h:off or 72h:1M/512k
        #[arg(long, default_value = "keep")]
        offline: String,
        /// For people
        #[arg(long, default_value = "")]
        description: String,
    },
    /// Change a plan
    #[command(after_help = "Examples:
  tawi-controller plan change \"Home 10\" --price 1600
  tawi-controller plan change \"Home 10\" --quota none --suspension walled
What is not given stays. Price, length and data are those of the next period that is bought; what happens to lines that
are suspended, used up or alone changes at once, on all lines of the plan.")]
    Change {
        /// Which, by name or id
        plan: String,
        /// In shillings, such as 1500
        #[arg(long, value_parser = Money::parse)]
        price: Option<Money>,
        /// How long a payment lasts, such as 30d, 24h or 90m
        #[arg(long, value_parser = units::validity)]
        validity: Option<Duration>,
        /// Data in one period, such as 50GB; none for no limit
        #[arg(long)]
        quota: Option<String>,
        /// What comes after the data: off, walled, or a slow download and upload such as 1M/512k
        #[arg(long, value_parser = units::restraint)]
        after_quota: Option<Restraint>,
        /// What being held or not paid for means: off, walled (the pay page only), or a slow 1M/512k
        #[arg(long, value_parser = units::restraint)]
        suspension: Option<Restraint>,
        /// What happens while the site cannot hear head office: keep, 72h:off or 72h:1M/512k
        #[arg(long)]
        offline: Option<String>,
        /// For people
        #[arg(long)]
        description: Option<String>,
    },
    /// List all plans
    List,
}

/// About top-ups.
#[derive(Debug, Subcommand)]
pub enum TopUpCommand {
    /// Add a top-up: data that customers can buy on top of a running period
    #[command(after_help = "Examples:
  tawi-controller top-up add \"5 GB more\" --price 200 --data 5GB
  tawi-controller top-up add \"Home 10: 20 GB\" --plan \"Home 10\" --price 500 --data 20GB")]
    Add {
        /// Its name
        name: String,
        /// For lines of this plan alone, by name or id; of any with a data limit if not given
        #[arg(long)]
        plan: Option<String>,
        /// In shillings, such as 200
        #[arg(long, value_parser = Money::parse)]
        price: Money,
        /// What it adds, such as 5GB
        #[arg(long, value_parser = units::data)]
        data: u64,
    },
    /// List all top-ups
    List,
}

/// About customers.
#[derive(Debug, Subcommand)]
pub enum CustomerCommand {
    /// Add a customer
    #[command(
        after_help = "Example:\n  tawi-controller customer add --name \"Corner Shop\" --phone 0712345678"
    )]
    Add {
        /// Their name
        #[arg(long)]
        name: String,
        /// Their phone
        #[arg(long)]
        phone: String,
    },
}

/// About subscriptions.
#[derive(Debug, Subcommand)]
pub enum SubscriptionCommand {
    /// Add a subscription, which stays off until it is paid for
    #[command(after_help = "Examples:
  tawi-controller subscription add --customer 10000018 --plan \"Home 10\" --site nyeri-01 --router core --username plot17
  tawi-controller subscription add --customer 10000018 --plan \"Office 20\" --site nyeri-01 --router core \\
      --username plot18 --address 10.20.0.18
Without a file a password for the customer's device is made and printed, where one logs in.")]
    Add {
        /// A customer, by account number or id
        #[arg(long)]
        customer: String,
        /// A plan, by name or id
        #[arg(long)]
        plan: String,
        /// At which site
        #[arg(long)]
        site: SiteId,
        /// On which router, by name
        #[arg(long)]
        router: String,
        /// User name on the router
        #[arg(long)]
        username: String,
        /// Its own IPv4 address; needed where nobody logs in, else one of the pool if not given
        #[arg(long, default_value = "")]
        address: String,
        /// The only device that may use it: a MAC address, or for tunnels the address that is dialled from
        #[arg(long, default_value = "")]
        caller_id: String,
        /// A file with the password on its first line
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Change a subscription: what is not given stays
    #[command(after_help = "Examples:
  tawi-controller subscription change LINE --plan \"Home 20\"
  tawi-controller subscription change LINE --address 10.20.0.19 --caller-id \"\"
Another plan has its speed at once; its price, length and data are those of the next period that is bought.")]
    Change {
        /// Which: its id, as the API and the comment on the router have it
        subscription: LineId,
        /// A plan, by name or id
        #[arg(long)]
        plan: Option<String>,
        /// Its own IPv4 address; "" for one of the pool
        #[arg(long)]
        address: Option<String>,
        /// The only device that may use it; "" for any
        #[arg(long)]
        caller_id: Option<String>,
        /// A file with a new password on its first line
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
}
