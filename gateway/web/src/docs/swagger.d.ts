/** What this page uses of swagger-ui-dist, which carries no types of its own. */
declare module "swagger-ui-dist/swagger-ui-es-bundle.js" {
  /** Options of https://swagger.io/docs/open-source-tools/swagger-ui/usage/configuration/ */
  export interface SwaggerOptions {
    url: string;
    domNode: HTMLElement;
    deepLinking: boolean;
    docExpansion: "list" | "full" | "none";
    defaultModelsExpandDepth: number;
    displayRequestDuration: boolean;
    filter: boolean;
    persistAuthorization: boolean;
    queryConfigEnabled: boolean;
    tryItOutEnabled: boolean;
    validatorUrl: string | null;
  }
  const SwaggerUI: (options: SwaggerOptions) => unknown;
  export default SwaggerUI;
}
