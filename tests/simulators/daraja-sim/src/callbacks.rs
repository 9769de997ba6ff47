//! The postman: letters to the merchant's URLs, sent once, doubled, delayed or lost, never retried.
//!
//! Daraja does not repeat a notification whose listener failed; neither does this. What the listener
//! answered is noted on the prompt and the payment. What stands in a letter is decided by
//! `stk/callback.rs`, `c2b/notification.rs` and `operator/results.rs`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use reqwest::header::CONTENT_TYPE;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::callback_url::CallbackUrl;
use crate::gateway::Gateway;
use crate::identifiers::{CheckoutRequestId, ShortCode};
use crate::phones::{CallbackFaults, ConfirmationFaults};
use crate::receipts::Receipt;

/// How long a listener may take. Not published; long enough for a busy controller to be seen as slow.
const LISTENER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection to the listener may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Posts at once. Keeps a load test within the usual limit of open files.
const MAX_POSTS_AT_ONCE: usize = 256;
/// The most that is read of a listener's answer. A validation answer takes some 100 bytes.
const MAX_ANSWER_BYTES: usize = 16 * 1024;
/// Statuses kept for each payment; the newest. Four times the most copies of one callback.
const MAX_STATUSES: usize = 200;
/// The status that is noted when no HTTP answer came.
pub(crate) const NO_ANSWER: u16 = 0;

/// One notification, as it goes over the wire.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    pub(crate) url: CallbackUrl,
    pub(crate) body: Bytes,
    /// Sent along as the header `BusinessShortCode`.
    pub(crate) short_code: ShortCode,
}

/// What a letter tells of, so that the answers are noted in the right place.
#[derive(Debug, Clone)]
pub(crate) enum Subject {
    /// An STK callback, and the payment that it tells of, if any.
    Callback { checkout: CheckoutRequestId, receipt: Option<Receipt> },
    /// A C2B confirmation.
    Confirmation { receipt: Receipt },
    /// The result of what an API operator asked, or word that there is none.
    Result,
}

/// How a letter is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) copies: u32,
    pub(crate) delay_ms: u64,
    pub(crate) lost: bool,
    pub(crate) together: bool,
}

impl From<&CallbackFaults> for Manner {
    fn from(faults: &CallbackFaults) -> Self {
        let CallbackFaults { copies, delay_ms, lost, before_reply: _, together } = *faults;
        Self { copies, delay_ms, lost, together }
    }
}

impl From<&ConfirmationFaults> for Manner {
    fn from(faults: &ConfirmationFaults) -> Self {
        let ConfirmationFaults { copies, delay_ms, lost, together } = *faults;
        Self { copies, delay_ms, lost, together }
    }
}

/// What came back for a letter.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    /// The HTTP status; 0 when there was no HTTP answer.
    pub(crate) status: u16,
    /// The beginning of the body.
    pub(crate) body: Vec<u8>,
}

/// Sends letters.
#[derive(Debug, Clone)]
pub(crate) struct Postman {
    client: reqwest::Client,
    places: Arc<Semaphore>,
}

impl Postman {
    /// A postman who trusts the public roots and, beside them, the given ones (PEM).
    pub(crate) fn new(extra_roots_pem: Option<&[u8]>) -> Result<Self, reqwest::Error> {
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(LISTENER_TIMEOUT);
        for root in
            extra_roots_pem.map(reqwest::Certificate::from_pem_bundle).transpose()?.unwrap_or_default()
        {
            builder = builder.add_root_certificate(root);
        }
        Ok(Self { client: builder.build()?, places: Arc::new(Semaphore::new(MAX_POSTS_AT_ONCE)) })
    }

    /// Posts a letter once, with Daraja's headers, and waits for the answer at most `timeout`.
    pub(crate) async fn post(&self, letter: &Letter, timeout: Duration) -> Answered {
        // The semaphore is never closed; without a permit the letter goes out all the same.
        let _place = self.places.acquire().await;
        let request = self
            .client
            .post(letter.url.as_str())
            .timeout(timeout)
            .header(CONTENT_TYPE, "application/json;charset=UTF-8")
            .header("BusinessShortCode", letter.short_code.as_str())
            .body(letter.body.clone());
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                // The URL carries the merchant's secret path and stays out of the log.
                tracing::info!(error = %error.without_url(), "a listener did not answer");
                return Answered { status: NO_ANSWER, body: Vec::new() };
            }
        };
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while body.len() < MAX_ANSWER_BYTES
            && let Ok(Some(chunk)) = response.chunk().await
        {
            body.extend_from_slice(&chunk);
        }
        Answered { status, body }
    }
}

/// Adds a status; the oldest makes room.
pub(crate) fn note_status(statuses: &mut Vec<u16>, status: u16) {
    if statuses.len() >= MAX_STATUSES {
        statuses.remove(0);
    }
    statuses.push(status);
}

impl Gateway {
    /// Sends a letter in the given manner, and notes and returns the status of each copy.
    pub(crate) async fn deliver(
        self: &Arc<Self>,
        letter: &Letter,
        subject: &Subject,
        manner: Manner,
    ) -> Vec<u16> {
        if manner.lost {
            return Vec::new();
        }
        if manner.delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(manner.delay_ms)).await;
        }
        let mut statuses = Vec::new();
        if manner.together {
            let mut posts = JoinSet::new();
            for _ in 0..manner.copies {
                let (gateway, letter, subject) = (Arc::clone(self), letter.clone(), subject.clone());
                posts.spawn(async move { gateway.deliver_one(&letter, &subject).await });
            }
            statuses = posts.join_all().await;
        } else {
            for _ in 0..manner.copies {
                statuses.push(self.deliver_one(letter, subject).await);
            }
        }
        statuses
    }

    async fn deliver_one(&self, letter: &Letter, subject: &Subject) -> u16 {
        let status = self.postman.post(letter, LISTENER_TIMEOUT).await.status;
        let failed = u64::from(!(200..300).contains(&status));
        self.change(|state| match subject {
            Subject::Callback { checkout, receipt } => {
                state.counts.callbacks_sent += 1;
                state.counts.callbacks_failed += failed;
                state.prompts.note_callback(checkout.as_str(), status);
                if let Some(receipt) = receipt {
                    state.payments.note_callback(receipt, status);
                }
            }
            Subject::Confirmation { receipt } => {
                state.counts.confirmations_sent += 1;
                state.counts.confirmations_failed += failed;
                state.payments.note_confirmation(receipt, status);
            }
            Subject::Result => {
                state.counts.results_sent += 1;
                state.counts.results_failed += failed;
            }
        });
        status
    }
}
