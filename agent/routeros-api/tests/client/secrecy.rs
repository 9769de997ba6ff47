//! What nobody may read in a log or in a message.

use std::io;
use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;

use super::*;

/// Everything that is logged, at any level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn no_log_line_error_or_debug_output_shows_a_secret() {
    let log = Log::default();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    // "hunter2" is the login's password, too.
    let (client, mut router) = connected(&options()).await;
    let command = add().attribute("password", "hunter2");
    let mut shown = vec![format!("{:?} {command:?} {client:?}", options())];
    let write = spawn(&client, command);
    let tag = router.receive().await.tag().unwrap();
    router.reply(&tag, &["!re", "=name=plot1", "=password=hunter2"]).await;
    router.reply(&tag, &["!done"]).await;
    shown.push(format!("{:?}", write.await.unwrap().unwrap()));
    let write = spawn(&client, add().attribute("password", "hunter2"));
    router.receive().await;
    router.send_bytes(b"\x11=password=hunter2\xff").await.unwrap();
    let error = write.await.unwrap().unwrap_err();
    shown.push(format!("{error} {error:?}"));
    shown.push(format!("{}", client.closed().await));

    // The library speaks to the log at all, or this would prove nothing.
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("connection to the router ended"), "{logged}");
    for text in shown.iter().chain([&logged]) {
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert!(shown[0].contains("[redacted]") && shown[1].contains("[redacted]"), "{shown:?}");
}
