"""Other senders' webhooks: verified and read, each as its sender's public documentation says.

```python
from gateway_providers import Incoming, github

sender = github("the secret", "the secret before it")
found = sender.receive(Incoming("POST", url, headers, body))  # events, or a challenge to answer at once
```

`SENDERS` has them all by name. The page "Receive other senders' webhooks" says what is verified for each, and how to
add another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway_providers.by_hmac import bitbucket, dropbox, github, meta, pusher, shopify, trello, zendesk
from gateway_providers.by_time import slack, stripe
from gateway_providers.by_token import gitlab, shared_code
from gateway_providers.by_url import mailchimp_marketing, mailchimp_transactional, twilio
from gateway_providers.certificates import Certificates, CertificateStore
from gateway_providers.cloud import azure_event_grid, cloudevents
from gateway_providers.paypal import paypal
from gateway_providers.sender import Challenge, Event, HmacSender, Incoming, Sender
from gateway_providers.sns import aws_sns
from gateway_providers.standard import standard_webhooks, svix

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SENDERS: Final[Mapping[str, Callable[..., Sender]]] = {
    "aws-sns": aws_sns,
    "azure-event-grid": azure_event_grid,
    "bitbucket": bitbucket,
    "cloudevents": cloudevents,
    "dropbox": dropbox,
    "github": github,
    "gitlab": gitlab,
    "mailchimp-marketing": mailchimp_marketing,
    "mailchimp-transactional": mailchimp_transactional,
    "meta": meta,
    "paypal": paypal,
    "pusher": pusher,
    "shared-code": shared_code,
    "shopify": shopify,
    "slack": slack,
    "standard-webhooks": standard_webhooks,
    "stripe": stripe,
    "svix": svix,
    "trello": trello,
    "twilio": twilio,
    "zendesk": zendesk,
}

__all__ = [
    "SENDERS",
    "CertificateStore",
    "Certificates",
    "Challenge",
    "Event",
    "HmacSender",
    "Incoming",
    "Sender",
    "aws_sns",
    "azure_event_grid",
    "bitbucket",
    "cloudevents",
    "dropbox",
    "github",
    "gitlab",
    "mailchimp_marketing",
    "mailchimp_transactional",
    "meta",
    "paypal",
    "pusher",
    "shared_code",
    "shopify",
    "slack",
    "standard_webhooks",
    "stripe",
    "svix",
    "trello",
    "twilio",
    "zendesk",
]
