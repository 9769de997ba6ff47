//! What can be said on the command line about M-Pesa. The texts are what `--help` shows.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use crate::customers::phone::Msisdn;
use crate::mpesa::evidence::ReceiptNumber;

/// About M-Pesa.
#[derive(Debug, Subcommand)]
pub enum MpesaCommand {
    /// Tell Safaricom where to report payments by Paybill and to tills
    #[command(after_help = "Examples:
  tawi-controller mpesa register-urls
  tawi-controller mpesa register-urls --when-silent cancel --short-code 600100
  tawi-controller mpesa register-urls --force
In production Safaricom takes this once for a short code. To change it, delete the addresses under \"URL management\" in
Safaricom's portal first. So nothing is told while the address is one that Safaricom cannot reach, as doctor says, unless
--force says so. Whether Safaricom asks before a payment is for its support to switch on; it then refuses
accounts that are nobody's before the money moves.")]
    RegisterUrls {
        /// What Safaricom does with a payment when it asks before it and gets no answer
        #[arg(long, value_name = "WHAT", default_value = "complete")]
        when_silent: WhenSilent,
        /// Which short code, where there are several
        #[arg(long, value_name = "N")]
        short_code: Option<String>,
        /// Tell it also where Safaricom could not reach the address
        #[arg(long)]
        force: bool,
    },
    /// Let the sandbox make a payment by Paybill or to a till
    #[command(after_help = "Examples:
  tawi-controller mpesa simulate --amount 1500 --phone 0712345678 --account 10000012
  tawi-controller mpesa simulate --amount 50 --phone 0712345678 --short-code 600200
The payment is reported as any other, to the addresses that mpesa register-urls told, and is booked when it is. Only the sandbox
and a simulator on this machine do that: with any other base_url it is refused. Exit codes: 0 when it was taken, 1 when not.")]
    Simulate {
        /// How much, in whole shillings
        #[arg(long, value_name = "KES", value_parser = clap::value_parser!(i64).range(1..=250_000))]
        amount: i64,
        /// Who pays
        #[arg(long, value_name = "PHONE")]
        phone: Msisdn,
        /// What the payer types as account; for a till nothing
        #[arg(long, value_name = "TEXT", default_value = "")]
        account: String,
        /// Which short code, where there are several
        #[arg(long, value_name = "N")]
        short_code: Option<String>,
    },
    /// Ask M-Pesa what lies on the accounts of the short code
    #[command(after_help = "Examples:
  tawi-controller mpesa balance
  tawi-controller mpesa balance --wait 120 --json
Needs an API operator (initiator_name, initiator_password_file, certificate_file), and the controller running: M-Pesa tells
the result to it, not to this command. Exit codes: 0 with a balance, 1 when M-Pesa refuses, 69 when nobody knows.")]
    Balance {
        /// How many seconds the result is waited for, 1 to 300
        #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=300))]
        wait: u64,
        /// Which short code, where there are several
        #[arg(long, value_name = "N")]
        short_code: Option<String>,
    },
    /// Ask M-Pesa what became of a receipt
    #[command(after_help = "Examples:
  tawi-controller mpesa status RGP6CZDYG6
  tawi-controller mpesa status RGP6CZDYG6 --json
Needs what mpesa balance needs. Books nothing: the answer is M-Pesa's word, to be compared with what is booked. Exit codes:
0 with an answer, 1 when M-Pesa refuses or knows no such receipt, 69 when nobody knows.")]
    Status {
        /// The receipt number, as in the payer's SMS
        receipt: ReceiptNumber,
        /// How many seconds the result is waited for, 1 to 300
        #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=300))]
        wait: u64,
        /// Which short code, where there are several
        #[arg(long, value_name = "N")]
        short_code: Option<String>,
    },
    /// Prove each short code step by step, without moving money
    #[command(after_help = "Examples:
  tawi-controller mpesa doctor
  tawi-controller mpesa doctor --short-code 174379
  tawi-controller mpesa doctor --json
Each step says OK, DOUBT, BAD or SKIPPED, and what cures it. The API operator is proved by asking for the balance once: a
wrong password counts as a try, and M-Pesa locks the operator after a few, so cure it before running this again. Exit
codes: 0 without BAD, 1 with one.")]
    Doctor {
        /// How many seconds the result of the balance is waited for, 1 to 300
        #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=300))]
        wait: u64,
        /// Which short code, where there are several
        #[arg(long, value_name = "N")]
        short_code: Option<String>,
    },
    /// Take in a statement that Safaricom's organisation portal exported as CSV
    #[command(after_help = "Examples:
  tawi-controller mpesa import-statement statement.csv --dry-run
  tawi-controller mpesa import-statement statement.csv
Payments that nothing told of are booked, charges and transfers to the bank as well; what is booked already only gains
evidence, so that a file may be taken in twice. Rows of a kind that is not known are not booked and wait under \"To be
checked\". The exit code is 1 when something waits for a person, and when the balances of the file do not add up: then nothing is taken in, unless
--accept-gaps says so.")]
    ImportStatement {
        /// The file; - for standard input
        file: PathBuf,
        /// Whose statement it is, where neither the file nor the settings say so
        #[arg(long, value_name = "N")]
        short_code: Option<String>,
        /// Say what would come of it, and change nothing
        #[arg(long)]
        dry_run: bool,
        /// Take it in although its balances say that rows are missing
        #[arg(long)]
        accept_gaps: bool,
    },
}

/// What Safaricom does when it gets no answer.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum WhenSilent {
    /// Take the payment
    Complete,
    /// Refuse it
    Cancel,
}
