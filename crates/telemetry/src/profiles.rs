//! Profiles of processor time, which are pushed to Pyroscope.

#[cfg(feature = "profiles")]
mod sampler;

use opentelemetry_sdk::Resource;

use crate::{BadSetting, Endpoint};

/// The variable of Pyroscope's URL.
const VARIABLE: &str = "PYROSCOPE_URL";

#[cfg(not(feature = "profiles"))]
pub(crate) use self::absent::Profiles;
#[cfg(feature = "profiles")]
pub(crate) use self::present::Profiles;

#[cfg(not(feature = "profiles"))]
mod absent {
    use super::{BadSetting, Endpoint, Resource, VARIABLE};

    /// There are no profiles in this build.
    #[derive(Debug)]
    pub(crate) enum Profiles {}

    impl Profiles {
        pub(crate) fn new(_: &Endpoint, _: &Resource) -> Result<Self, BadSetting> {
            Err(BadSetting {
                variable: VARIABLE,
                reason: "this program was built without profiles; \
                         `cargo build --workspace` builds it with them"
                    .to_owned(),
            })
        }

        pub(crate) fn start(self) -> Self {
            self
        }
    }
}

#[cfg(feature = "profiles")]
mod present {
    use std::time::Duration;

    use opentelemetry_semantic_conventions::resource::{
        DEPLOYMENT_ENVIRONMENT_NAME, SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_NAMESPACE,
        SERVICE_VERSION,
    };
    use tokio::{task::JoinHandle, time::sleep};

    use super::{BadSetting, Endpoint, Resource, VARIABLE, sampler::Sampler};
    use crate::{
        export::{Encoded, Sender},
        settings::Export,
    };

    /// The attributes of the resource that become labels.
    const LABELS: [&str; 5] = [
        SERVICE_NAME,
        SERVICE_NAMESPACE,
        SERVICE_INSTANCE_ID,
        SERVICE_VERSION,
        DEPLOYMENT_ENVIRONMENT_NAME,
    ];

    /// The time that a profile covers.
    const PERIOD: Duration = Duration::from_secs(10);

    /// The profiles of this process. They end when this is dropped.
    #[derive(Debug)]
    pub(crate) struct Profiles {
        sender: Sender,
        labels: Vec<(String, String)>,
        task: Option<JoinHandle<()>>,
    }

    impl Profiles {
        pub(crate) fn new(url: &Endpoint, resource: &Resource) -> Result<Self, BadSetting> {
            let export = Export::of_profiles(url.clone(), VARIABLE);
            Ok(Self {
                sender: Sender::new(&export)?,
                labels: labels(resource),
                task: None,
            })
        }

        /// Starts to make profiles, and to send them.
        pub(crate) fn start(mut self) -> Self {
            self.task = Some(tokio::spawn(run(self.sender.clone(), self.labels.clone())));
            self
        }
    }

    impl Drop for Profiles {
        fn drop(&mut self) {
            if let Some(task) = &self.task {
                task.abort();
            }
        }
    }

    /// The labels of all profiles, by the names that Pyroscope gives to attributes in OTLP profiles.
    fn labels(resource: &Resource) -> Vec<(String, String)> {
        let label = |(name, value): (&opentelemetry::Key, &opentelemetry::Value)| {
            let is_label = LABELS.contains(&name.as_str());
            is_label.then(|| (name.as_str().replace('.', "_"), value.to_string()))
        };
        let mut labels: Vec<_> = resource.iter().filter_map(label).collect();
        labels.sort_unstable();
        labels
    }

    /// Makes one profile after the other, and sends each while the next one is made.
    async fn run(sender: Sender, labels: Vec<(String, String)>) {
        let mut profile = None;
        let mut is_lost = false;
        loop {
            // The first start reads the symbols of the program.
            let sampler = match crate::spawn_blocking(Sampler::start).await {
                Ok(sampler) => sampler,
                Err(error) => {
                    tracing::warn!(reason = %error, "profiles end: the profiler cannot start");
                    return;
                }
            };
            let send = async {
                let Some(profile) = profile.take() else {
                    return;
                };
                let outcome = sender.send_again(profile).await;
                match &outcome {
                    Err(error) if !is_lost => {
                        tracing::warn!(reason = %error, "profiles are lost");
                    }
                    Ok(_) if is_lost => tracing::info!("profiles are sent again"),
                    _ => {}
                }
                is_lost = outcome.is_err();
            };
            tokio::join!(sleep(PERIOD), send);
            let labels = labels.clone();
            match crate::spawn_blocking(move || sampler.finish(&labels)).await {
                Ok(made) => profile = made.map(|made| Encoded(vec![made.into()])),
                Err(error) => tracing::warn!(reason = %error, "a profile is lost"),
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use opentelemetry::KeyValue;

        use super::*;

        #[test]
        fn labels_are_those_of_the_service() {
            let resource = Resource::builder_empty()
                .with_attributes([
                    KeyValue::new(SERVICE_NAME, "probe"),
                    KeyValue::new(DEPLOYMENT_ENVIRONMENT_NAME, "test"),
                    KeyValue::new("process.pid", 7),
                ])
                .build();
            let expected = [
                ("deployment_environment_name", "test"),
                ("service_name", "probe"),
            ];
            let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(labels(&resource), expected);
        }
    }
}
