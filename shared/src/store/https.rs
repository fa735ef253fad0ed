//! The HTTPS client of the AWS SDK, and the certificate authorities that it trusts.
//!
//! The certificates of Amazon's authorities are compiled in. By default, the SDK reads and parses about 150 authorities
//! from the machine at each cold start, and it does so twice.

use std::time::Duration;

use aws_sdk_dynamodb::config::SharedHttpClient;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpConnector, http_client_fn};

use crate::error::{Error, Result};

/// How long a connection attempt may take.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// How long one attempt of a call may take.
pub(super) const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(700);

/// The five roots of Amazon Trust Services, which sign the certificates of AWS endpoints and of VPC endpoints. Amazon
/// recommends them for programs with certificates of their own: <https://www.amazontrust.com/repository/>.
///
/// The first root expires in December 2037. A test compares this list with Mozilla's list in `webpki-root-certs`. The
/// test fails if an update of this crate adds or removes a root of Amazon. This file must then change in the same way.
const AMAZON_ROOTS: &str = include_str!("amazon-roots.pem");

/// Makes the HTTPS client for the endpoints of a region. All calls share one connector. The SDK would make one more for
/// each client, and throw it away.
///
/// # Errors
/// [`Error::Unexpected`] if the SDK rejects the settings.
pub(super) fn https_client(region: &str) -> Result<SharedHttpClient> {
    let roots = if has_amazon_roots(region) {
        TrustStore::empty().with_pem_certificate(AMAZON_ROOTS)
    } else {
        TrustStore::default()
    };
    let tls = TlsContext::builder().with_trust_store(roots).build().map_err(Error::unexpected)?;
    let connector = Connector::builder()
        .connector_settings(timeouts())
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(tls)
        .build();
    let connector = SharedHttpConnector::new(connector);
    Ok(http_client_fn(move |_, _| connector.clone()))
}

/// Returns the timeouts of a connection. The connector does not read those of the SDK's clients.
pub(super) fn timeouts() -> HttpConnectorSettings {
    HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(ATTEMPT_TIMEOUT).build()
}

/// Returns `false` for the regions of China and for isolated regions. Other authorities may sign for their endpoints.
/// In these regions, the client trusts the authorities of the machine.
fn has_amazon_roots(region: &str) -> bool {
    !region.starts_with("cn-") && !region.contains("-iso")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

    use super::*;

    /// Decodes the certificates of a PEM file.
    fn certificates(pem: &str) -> BTreeSet<Vec<u8>> {
        let blocks = pem.split("-----BEGIN CERTIFICATE-----\n").skip(1);
        let blocks = blocks.map(|block| block.split_once("-----END CERTIFICATE-----").unwrap().0.replace('\n', ""));
        blocks.map(|block| BASE64_STANDARD.decode(block).unwrap()).collect()
    }

    #[test]
    fn the_compiled_in_roots_are_those_of_amazon_in_mozillas_list() {
        let names = [&b"Amazon Root CA"[..], b"Starfield Services Root Certificate Authority"];
        let is_amazons = |der: &[u8]| names.iter().any(|name| der.windows(name.len()).any(|part| part == *name));
        let listed = TLS_SERVER_ROOT_CERTS.iter().map(|root| root.to_vec()).filter(|root| is_amazons(root));
        let (listed, ours) = (listed.collect::<BTreeSet<_>>(), certificates(AMAZON_ROOTS));
        assert_eq!(ours.len(), 5);
        assert!(
            ours == listed,
            "Mozilla's list has {} roots of Amazon, amazon-roots.pem has {}",
            listed.len(),
            ours.len()
        );
    }

    #[test]
    fn other_partitions_use_the_authorities_of_the_machine() {
        for region in ["eu-west-1", "us-east-1", "us-gov-west-1", "eusc-de-east-1", "ap-northeast-2"] {
            assert!(has_amazon_roots(region), "{region}");
        }
        for region in ["cn-north-1", "cn-northwest-1", "us-iso-east-1", "us-isob-east-1", "eu-isoe-west-1"] {
            assert!(!has_amazon_roots(region), "{region}");
        }
    }
}
