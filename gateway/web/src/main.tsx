/** Begin: read the link, watch what changes, draw. */

import { render } from "preact";
import { App } from "./app";
import { prepareCanvas } from "./flow/graphics";
import { watchQuestion } from "./state/answers";
import { watchFields } from "./state/fields";
import { watchLink } from "./state/link";
import { watchServer } from "./state/server";
import { watchTheme } from "./state/theme";
import { watchTile } from "./state/tile";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/layout.css";

watchTheme();
watchLink();
watchServer();
watchFields();
watchQuestion();
watchTile();
// after the questions have left: it takes as long as their answers
prepareCanvas();
const page = document.getElementById("page");
if (page === null) throw new Error("the page has no element #page");
page.replaceChildren();
render(<App />, page);
