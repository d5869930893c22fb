// An app that is handed events: it says what it subscribes to, and gets each event as a POST.
//
//   outrigger run --app-id shop --app-port 6001 --resources-path resources -- node shop.mjs
import http from "node:http";

// Beside these, resources/refunds.yaml subscribes it to refunds, without a line of code here.
const SUBSCRIPTIONS = [{ pubsubname: "pubsub", topic: "orders", route: "/orders" }];

http
  .createServer(async (request, response) => {
    if (request.url === "/dapr/subscribe") return response.end(JSON.stringify(SUBSCRIPTIONS));
    let body = "";
    for await (const chunk of request.setEncoding("utf8")) body += chunk;
    // A CloudEvent: what was published is its `data`.
    const { id, data } = JSON.parse(body);
    // Any 2xx means: done with it. Another status, and the event comes again, or is a dead letter.
    const isPayable = request.url !== "/refunds" || data.amount > 0;
    console.log(`${request.url} ${isPayable ? "took" : "refused"} ${JSON.stringify(data)} (event ${id})`);
    response.writeHead(isPayable ? 200 : 500).end();
  })
  .listen(Number(process.env.APP_PORT), "127.0.0.1");
