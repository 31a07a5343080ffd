/** The page of the API at /docs: swagger-ui on /openapi.json of the server that sent it, and the way back to the page. */
import SwaggerUI from "swagger-ui-dist/swagger-ui-es-bundle.js";
import "swagger-ui-dist/swagger-ui.css";
import "./docs.css";
import { followTheme } from "./theme";

/** Draw the document into an element; nothing is asked of any other server, and no token is kept when the page is closed. */
export function draw(domNode: HTMLElement): void {
  SwaggerUI({
    url: "/openapi.json",
    domNode,
    deepLinking: true,
    // a hundred operations take seconds to draw; the headings are an overview, and a link to one opens it
    docExpansion: "none",
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    filter: true,
    persistAuthorization: false,
    // an address could otherwise name another document, and "try it" would then send to its servers
    queryConfigEnabled: false,
    tryItOutEnabled: true,
    // a badge of an outside validator otherwise
    validatorUrl: null,
  });
}

const place = document.getElementById("docs");
if (place) {
  followTheme(document.documentElement, window.matchMedia("(prefers-color-scheme: dark)"));
  draw(place);
}
