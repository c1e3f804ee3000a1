// A key that is typed in stays in this page's memory: it is gone when the page is, and no validator elsewhere is asked.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#description",
  deepLinking: true,
  persistAuthorization: false,
  validatorUrl: null,
});
