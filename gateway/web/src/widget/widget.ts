/** What anywidget loads: a module with a default export and nothing else, for named ones mean an older way to it. */

import { render } from "./view";

export default { render };
