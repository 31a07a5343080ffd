/** The page: where its parts stand. Each part knows itself. */

import { Card } from "./card/Card";
import { STRUCTURES } from "./field/structures";
import { FlowView } from "./flow/FlowView";
import { PosteriorPanel } from "./plots/PosteriorPanel";
import { SightlinePanel } from "./plots/SightlinePanel";
import { Search } from "./search/Search";
import { SkyPanel } from "./sky/SkyPanel";
import { TablesPanel } from "./tables/TablesPanel";
import { said } from "./ui/announce";
import { TopBar } from "./ui/TopBar";

/** The whole page. */
export function App() {
  return (
    <div class="page">
      <TopBar />
      <main class="rooms" id="main" tabIndex={-1}>
        <div class="asking">
          <Search />
          <Card />
          <SightlinePanel />
          <PosteriorPanel />
        </div>
        <div class="seeing">
          <FlowView />
          <div class="below">
            <SkyPanel structures={STRUCTURES} />
            <TablesPanel />
          </div>
        </div>
      </main>
      <p class={said.value ? "said" : "unseen"} role="status" aria-live="polite">{said.value}</p>
    </div>
  );
}
