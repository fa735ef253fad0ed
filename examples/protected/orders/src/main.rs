//! `GET /orders`: returns the orders of the signed-in user.
//!
//! API Gateway calls this function only for requests that the authorizer of Latchkey allows. The function verifies no
//! token. It reads the user from the context that the authorizer passes on, and never from a header or a cookie.

use lambda_http::request::RequestContext;
use lambda_http::{Body, Error, Request, RequestExt, Response, run, service_fn};
use serde_json::{Value, json};

/// Returns the context that the authorizer passes on, or `None` if the request did not pass an authorizer.
fn caller(request: &Request) -> Option<Value> {
    let RequestContext::ApiGatewayV2(context) = request.request_context_ref()? else { return None };
    let fields = &context.authorizer.as_ref()?.fields;
    fields.contains_key("id").then(|| json!(fields))
}

async fn orders(request: Request) -> Result<Response<Body>, Error> {
    // A route without the authorizer is a defect of the template. The function then fails, and the response is 500.
    let caller = caller(&request).ok_or("the request did not pass the authorizer")?;
    // `id` never changes, so it is the key of the orders. An operator can change `userId`, the login name.
    let body = json!({ "orders": [{ "item": "paper boat", "owner": caller["id"] }], "caller": caller });
    let response = Response::builder().header("content-type", "application/json").header("cache-control", "no-store");
    Ok(response.body(body.to_string().into())?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(orders)).await
}
