/** Responses of the contract, and the errors that become one. */

const HEADERS = {
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "same-origin",
  "strict-transport-security": "max-age=63072000",
  "x-content-type-options": "nosniff",
};

const TITLES = {
  400: "Bad Request",
  403: "Forbidden",
  405: "Method Not Allowed",
  413: "Payload Too Large",
  415: "Unsupported Media Type",
  429: "Too Many Requests",
  500: "Internal Server Error",
  503: "Service Unavailable",
};

/** An error with the status of its response. */
export class HttpError extends Error {
  constructor(status, detail, headers = {}, cookies = []) {
    super(detail);
    this.status = status;
    this.headers = headers;
    this.cookies = cookies;
  }
}

/** Returns the one error of a failed authentication, optionally with cookies that are cleared. */
export function notAuthorized(cookies) {
  return new HttpError(401, "Not Authorized", { "www-authenticate": "Bearer" }, cookies);
}

/** Returns a response. */
export function reply(statusCode, headers, body, cookies = []) {
  return { statusCode, headers: { ...headers, ...HEADERS }, body, cookies, isBase64Encoded: false };
}

/** Returns 200 with a JSON body. */
export function json(value, cookies) {
  return reply(200, { "content-type": "application/json" }, JSON.stringify(value), cookies);
}

/** Wraps a handler, so that each error becomes a response. */
export function handlerOf(handle) {
  return async (event, context) => {
    try {
      return await handle(event, Math.floor(Date.now() / 1000));
    } catch (error) {
      return problem(error, context.awsRequestId);
    }
  };
}

function problem(error, requestId) {
  if (!(error instanceof HttpError)) {
    console.error(error);
    const isOutage = error.$fault === "server" || error.$retryable || error.name === "TimeoutError" || error.code;
    error = isOutage ? new HttpError(503, "The service is not available.", { "retry-after": "1" })
      : new HttpError(500, "The service failed.");
  }
  const { status, message: detail, headers, cookies } = error;
  if (status === 401) {
    return reply(status, { "content-type": "text/plain; charset=utf-8", ...headers }, detail, cookies);
  }
  const body = JSON.stringify({ type: "about:blank", title: TITLES[status], status, detail, request_id: requestId });
  return reply(status, { "content-type": "application/problem+json", ...headers }, body, cookies);
}
