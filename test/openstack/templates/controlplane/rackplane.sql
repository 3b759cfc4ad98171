{{range $user, $hash := .PasswordHashes -}}
UPDATE keystone.password SET password_hash = '{{$hash}}' WHERE local_user_id = (SELECT id FROM keystone.local_user WHERE name = '{{$user}}');
{{end -}}
UPDATE keystone.endpoint SET url = REPLACE(url, 'controlplane.invalid', '{{.Address}}');
UPDATE nova_api.cell_mappings SET transport_url = '{{.TransportURL "nova"}}' WHERE name = 'cell1';
