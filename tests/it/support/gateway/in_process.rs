//! A gateway in the process of the tests.

use changeover::runtime::{Abort, Gateway, Options, RunError};
use tokio::{sync::oneshot, task::JoinHandle};

use super::{
    Setup,
    client::{Client, until_ready},
};
use crate::support::database::DatabaseUnderTest;

/// A gateway in this process.
pub struct InProcess {
    pub client: Client,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), RunError>>,
}

impl InProcess {
    /// Starts it and waits until it is ready.
    pub async fn start(setup: &Setup) -> Self {
        Self::try_start(setup)
            .await
            .unwrap_or_else(|why| panic!("{why}"))
    }

    /// The same, or why it cannot be started.
    pub async fn try_start(setup: &Setup) -> Result<Self, String> {
        let options = Options { migrate: true };
        let gateway = Gateway::start(setup.load(), options).await;
        let gateway = gateway.map_err(|error| error.to_string())?;
        let at = gateway.addresses();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(gateway.run(async {
            // A test that panics ends it too.
            let _ = stopped.await;
            Abort::never()
        }));
        let client = Client::new(&at.public.to_string(), &at.private.to_string());
        until_ready(&client).await;
        Ok(Self {
            client,
            stop,
            running,
        })
    }

    /// The replicas `a` and `b` of one database.
    pub async fn two(database: &DatabaseUnderTest) -> (Self, Self) {
        let a = Self::start(&Setup::new(database, "a").among_others()).await;
        let b = Self::start(&Setup::new(database, "b").among_others()).await;
        (a, b)
    }

    /// Why it cannot be started.
    pub async fn refused(setup: &Setup) -> String {
        let started = Self::try_start(setup).await;
        started.err().expect("it started")
    }

    /// Ends it in order.
    pub async fn stop(self) {
        self.stop.send(()).unwrap();
        self.running.await.unwrap().unwrap();
    }
}
