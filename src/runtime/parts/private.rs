//! What the private listener asks.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::Parts;
use crate::{
    config::{modules, mqtt},
    cutover::Acts,
    domain::{ModuleName, SystemClock},
    http::private::{PrivateState, Walls, Worth},
    identity::operators::Console,
    mirror::{self, TargetActs},
    runtime::StartError,
    telemetry,
};

impl Parts {
    pub(in crate::runtime) fn private_state(
        &self,
        mirror: mirror::Status,
        asyncapi: Arc<mirror::AsyncApi>,
    ) -> Result<PrivateState, StartError> {
        let metrics = telemetry::install_metrics().map_err(StartError::Metrics)?;
        Ok(PrivateState {
            store: Arc::clone(&self.store),
            tail: Arc::clone(&self.tail),
            presence: Arc::clone(&self.presence),
            leadership: Arc::clone(&self.leadership),
            flags: Arc::clone(&self.flags),
            retention: Arc::clone(&self.retention),
            epochs: Arc::clone(&self.epochs),
            acts: Arc::new(self.acts()),
            gatekeeper: Arc::clone(&self.gatekeeper),
            panic_acts: Arc::clone(&self.panic_acts),
            adviser: Arc::new(self.adviser()),
            guards: Arc::clone(&self.guards),
            census: Arc::clone(&self.census),
            routes: Arc::clone(&self.routes),
            targets: self.config.mqtt.effective_targets().into(),
            topic_prefix: self.config.mqtt.topic_prefix.as_str().into(),
            target_acts: Arc::new(self.target_acts()),
            mirror,
            ingest: self.ingest.clone(),
            limits: self.config.limits,
            ingest_body_bytes: self.config.ingest.body_bytes,
            readiness: Arc::clone(&self.readiness),
            metrics,
            usage: Arc::clone(&self.usage),
            worth: Arc::new(self.worth()),
            asyncapi,
            operators: Arc::clone(&self.operators),
            console: Arc::new(self.console()),
            private_tls: self.config.server.private_tls.is_some(),
            metrics_open: self.config.are_metrics_open(),
            broker_hooks: Arc::new(self.entrances.door()?),
            hosts: self.config.server.answers_to().into(),
            walls: Walls {
                url_bytes: self.config.server.max_url_bytes,
                body_patience: Duration::from_millis(self.config.server.body_timeout_ms),
            },
        })
    }

    fn console(&self) -> Console {
        Console::new(
            Arc::clone(&self.operators),
            self.entrances.ring(),
            Arc::new(SystemClock),
            self.config.auth.console_session.get(),
        )
    }

    fn worth(&self) -> Worth {
        let modules = self.config.modules_by_name().into_iter();
        let known = |(name, module): (ModuleName, &modules::Module)| (name, module.savings.clone());
        Worth {
            settings: self.config.savings.clone(),
            modules: modules.map(known).collect(),
        }
    }

    fn acts(&self) -> Acts {
        let (store, flags) = (Arc::clone(&self.store), Arc::clone(&self.flags));
        Acts::new(
            store,
            flags,
            Arc::clone(&self.routes),
            Arc::clone(&self.census),
            Arc::clone(&self.gatekeeper),
        )
    }

    fn target_acts(&self) -> TargetActs {
        let targets = self.config.mqtt.effective_targets().into_iter();
        let with_modules = |target: mqtt::Target| {
            let modules = self.served.modules.iter();
            let taken = modules.filter(|module| target.takes(module)).cloned();
            (target.name.clone(), taken.collect())
        };
        let targets: BTreeMap<_, _> = targets.map(with_modules).collect();
        TargetActs::new(
            Arc::clone(&self.store),
            Arc::clone(&self.standings),
            (Arc::clone(&self.flags), Arc::clone(&self.routes)),
            targets,
        )
    }
}
